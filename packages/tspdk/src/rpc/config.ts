/**
 * The JSON configuration, in SPDK's own format: a list of subsystems, each with the calls that set it up.
 *
 *     { "subsystems": [ { "subsystem": "bdev", "config": [ { "method": "bdev_malloc_create", "params": { ... } } ] } ] }
 *
 * Replayed in the order of the file through the same registry that clients call, in two passes as SPDK does (lib/init/json_config.c):
 * what may be called before the subsystems are initialised, then the rest. No call is made twice. Comments are accepted.
 */
import { passedOnStack, SpdkError } from '../env/errors.ts';
import { type LogComponent, log } from '../log/index.ts';
import type { RpcClient } from './client.ts';
import { parseJson } from './json.ts';
import { RPC_RUNTIME, RPC_STARTUP, type RpcRegistry } from './registry.ts';
import { toRpcError } from './rpc-error.ts';

/** One call of a configuration. */
export interface ConfigCall {
  readonly method: string;
  readonly params?: Record<string, unknown>;
}

/** What saving needs to know of a subsystem. */
export interface ConfigSubsystem {
  readonly name: string;
  readonly dependsOn: readonly string[];
  /** The calls that would bring it into its present state; absent: it has no configuration. */
  writeConfigJson?(): readonly ConfigCall[] | Promise<readonly ConfigCall[]>;
}

/** The file's content. */
export interface JsonConfig {
  readonly subsystems: readonly { readonly subsystem: string; readonly config: readonly ConfigCall[] }[];
}

export interface ReplayOptions {
  /** `--json-ignore-init-errors`: a failing call is logged and the next one made. Unknown methods still fail. */
  ignoreErrors?: boolean;
  log?: LogComponent;
}

/** Reads a configuration. @throws {SpdkError} EINVAL saying where it is malformed */
export function parseConfig(text: string): JsonConfig {
  const root = parseJson(text, { comments: true });
  if (!isObject(root)) throw malformed('it is not an object');
  const { subsystems } = root;
  // SPDK takes a file without subsystems for an empty one.
  if (subsystems === undefined) return { subsystems: [] };
  if (!Array.isArray(subsystems)) throw malformed("'subsystems' is not an array");
  return { subsystems: subsystems.map(readSubsystem) };
}

function readSubsystem(value: unknown, index: number): JsonConfig['subsystems'][number] {
  const where = `subsystems[${index}]`;
  if (!isObject(value) || typeof value.subsystem !== 'string') throw malformed(`${where} has no 'subsystem' name`);
  onlyKeys(value, ['subsystem', 'config'], where);
  const { subsystem, config } = value;
  if (config !== null && config !== undefined && !Array.isArray(config)) {
    throw malformed(`'config' of subsystem '${subsystem}' is not an array`);
  }
  // Newer SPDK groups calls that may run together in arrays; here they run one after the other.
  const calls = ((config ?? []) as unknown[]).flat();
  return {
    subsystem,
    config: calls.map((call, position) => readCall(call, `subsystem '${subsystem}', call ${position}`)),
  };
}

function readCall(value: unknown, where: string): ConfigCall {
  if (!isObject(value) || typeof value.method !== 'string') throw malformed(`${where} has no 'method' name`);
  onlyKeys(value, ['method', 'params'], where);
  const { method, params } = value;
  if (params === undefined) return { method };
  if (!isObject(params)) throw malformed(`${where}: 'params' of ${method} is not an object`);
  return { method, params };
}

/**
 * Makes the calls of the registry's present state, in order, one after the other: first in state STARTUP, later in RUNTIME.
 * @throws {SpdkError} ENOENT for an unknown method, before any call is made; otherwise the code of the call that failed, its
 *   message naming subsystem, position and method
 */
export async function replayConfig(
  config: JsonConfig,
  registry: RpcRegistry,
  options: ReplayOptions = {},
): Promise<void> {
  const component = options.log ?? log.register('app_config');
  for (const { subsystem, config: calls } of config.subsystems) {
    for (const [index, { method }] of calls.entries()) {
      if (registry.get(method) !== undefined) continue;
      throw new SpdkError(
        'ENOENT',
        `configuration, subsystem '${subsystem}', call ${index}: method '${method}' does not exist`,
      );
    }
  }
  for (const { subsystem, config: calls } of config.subsystems) {
    for (const [index, call] of calls.entries()) {
      if (!isDue(registry, call.method)) continue;
      try {
        await registry.call(call.method, call.params);
      } catch (error) {
        const { message } = toRpcError(error);
        // A user's module that throws at load: it is their stack that helps.
        const stack = passedOnStack(error);
        const text = `configuration, subsystem '${subsystem}', call ${index}: ${call.method} failed: ${message}`;
        if (options.ignoreErrors !== true) {
          const failed = new SpdkError(error instanceof SpdkError ? error.code : 'EINVAL', text, { cause: error });
          if (stack !== undefined) failed.stack = stack;
          throw failed;
        }
        component.error(stack === undefined ? text : `${text}\n${stack}`);
      }
    }
  }
}

/** Whether the call belongs to this pass: what is allowed in both states was made in the first. */
function isDue(registry: RpcRegistry, method: string): boolean {
  const states = registry.get(method)?.states ?? 0;
  if (registry.state === RPC_STARTUP) return (states & RPC_STARTUP) !== 0;
  return (states & (RPC_STARTUP | RPC_RUNTIME)) === RPC_RUNTIME;
}

/**
 * Asks a running application for its configuration (rpc.py save_config): what `parseConfig` reads.
 * @param only names of subsystems wanted, with what they depend on; default all
 */
export async function saveConfig(client: RpcClient, only?: readonly string[]): Promise<JsonConfig> {
  const listed = (await client.call('framework_get_subsystems')) as { subsystem: string; depends_on: string[] }[];
  const wanted = new Set<string>();
  const want = (name: string): void => {
    const entry = listed.find(({ subsystem }) => subsystem === name);
    if (entry === undefined) throw new SpdkError('ENOENT', `subsystem '${name}' does not exist`);
    if (wanted.has(name)) return;
    wanted.add(name);
    entry.depends_on.forEach(want);
  };
  for (const name of only ?? listed.map(({ subsystem }) => subsystem)) want(name);
  const subsystems: { subsystem: string; config: ConfigCall[] }[] = [];
  for (const { subsystem } of listed) {
    if (!wanted.has(subsystem)) continue;
    const config = (await client.call('framework_get_config', { name: subsystem })) as ConfigCall[];
    subsystems.push({ subsystem, config });
  }
  return { subsystems };
}

/**
 * Makes the calls of a configuration in a running application (rpc.py load_config). In state STARTUP it also starts the
 * framework, and goes on with the calls that then become possible.
 * @returns the calls that could not be made, since the state they need is past
 * @throws {SpdkError} ENOENT for a method that the application does not have, before any call is made
 */
export async function loadConfig(client: RpcClient, config: JsonConfig): Promise<ConfigCall[]> {
  const known = new Set((await client.call('rpc_get_methods', { include_aliases: true })) as string[]);
  let left = config.subsystems.flatMap((entry) => entry.config);
  const unknown = left.find(({ method }) => !known.has(method));
  if (unknown !== undefined) throw new SpdkError('ENOENT', `the application has no method '${unknown.method}'`);
  for (;;) {
    const current = new Set(
      (await client.call('rpc_get_methods', { current: true, include_aliases: true })) as string[],
    );
    const later: ConfigCall[] = [];
    for (const call of left) {
      if (current.has(call.method)) await client.call(call.method, call.params);
      else later.push(call);
    }
    left = later;
    if (!current.has('framework_start_init')) return left;
    await client.call('framework_start_init');
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function onlyKeys(value: Record<string, unknown>, keys: readonly string[], where: string): void {
  const other = Object.keys(value).find((key) => !keys.includes(key));
  if (other !== undefined) throw malformed(`${where} has an unknown member '${other}'`);
}

function malformed(what: string): SpdkError {
  return new SpdkError('EINVAL', `JSON configuration: ${what}`);
}
