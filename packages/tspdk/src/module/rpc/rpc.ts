/** RPC methods about the RPC interface itself (SPDK: lib/rpc/rpc.c). */
import { RPC_RUNTIME, RPC_STARTUP, type RpcRegistry } from '../../rpc/index.ts';

const states = RPC_STARTUP | RPC_RUNTIME;

export interface RpcRpcDeps {
  /** The kit's version, `major.minor.patch` or `major.minor.patch-suffix`. */
  version: string;
  /** The git commit, where it is known. */
  commit?: string;
}

/** rpc_get_methods, spdk_get_version, and their old names; rpc_get_schema, which SPDK does not have. */
export function registerRpcRpc(registry: RpcRegistry, deps: RpcRpcDeps): void {
  registry.register({
    name: 'rpc_get_methods',
    states,
    params: [
      { name: 'current', type: 'boolean', default: false, description: 'Only what can be called in the present state' },
      { name: 'include_aliases', type: 'boolean', default: false, description: 'Old names too' },
    ],
    summary: 'Lists the RPC methods.',
    handler: ({ current, include_aliases }) => registry.names({ current, includeAliases: include_aliases }),
  });
  registry.registerAlias('get_rpc_methods', 'rpc_get_methods');

  const [, major, minor, patch, suffix] = /^(\d+)\.(\d+)\.(\d+)(.*)$/.exec(deps.version) ?? ['', '0', '0', '0', ''];
  const fields = { major: Number(major), minor: Number(minor), patch: Number(patch), suffix };
  registry.register({
    name: 'spdk_get_version',
    states,
    params: [],
    summary: 'Tells name and version of this application.',
    handler: () => ({
      version: `tspdk v${deps.version}${deps.commit === undefined ? '' : ` git sha1 ${deps.commit}`}`,
      fields: deps.commit === undefined ? fields : { ...fields, commit: deps.commit },
    }),
  });
  registry.registerAlias('get_spdk_version', 'spdk_get_version');

  registry.register({
    name: 'rpc_get_schema',
    states,
    params: [{ name: 'method', type: 'string', description: 'Only this method; an alias is resolved' }],
    summary: 'Tells what the methods take: what `tspdk rpc` makes its help and its typed values of.',
    handler: ({ method }) => registry.describe(method),
  });
}
