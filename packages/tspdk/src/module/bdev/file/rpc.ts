/** bdev_aio_* and bdev_uring_* (SPDK: module/bdev/aio/bdev_aio_rpc.c, module/bdev/uring/bdev_uring_rpc.c); `direct` is the kit's own. */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { type FileBdevParams, type FileModuleName, rescanFile } from './file-bdev.ts';

const NAME = { name: 'name', type: 'string', required: true, description: 'Name of the bdev' } as const;
const COMMON = [
  NAME,
  { name: 'filename', type: 'string', required: true, description: 'File or block device' },
  { name: 'block_size', type: 'uint32', description: "Bytes of a block; default: 512 for a file, else the device's" },
  { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
  { name: 'direct', type: 'boolean', default: true, description: 'Bypass the page cache (O_DIRECT) where possible' },
] as const;

export function registerFileRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_aio_create',
    states: RPC_RUNTIME,
    params: [
      ...COMMON,
      { name: 'readonly', type: 'boolean', description: 'Open for reading only' },
      { name: 'fallocate', type: 'boolean', description: 'Unmap and zero by fallocate; default true' },
      { name: 'nowait', type: 'boolean', description: 'Accepted; I/O never blocks a reactor here' },
    ],
    summary: 'Makes a disk of a file or block device.',
    handler: async (params) => (await deps.registry().create('aio', fileParams(params))).name,
  });
  rpc.register({
    name: 'bdev_uring_create',
    states: RPC_RUNTIME,
    params: COMMON,
    summary: 'Makes a disk of a file or block device.',
    handler: async (params) => (await deps.registry().create('uring', fileParams(params))).name,
  });
  for (const module of ['aio', 'uring'] as const) registerCommon(rpc, deps, module);
}

/** SPDK opens with O_DIRECT, and without where that fails. */
function fileParams(params: Omit<FileBdevParams, 'direct'> & { readonly direct: boolean }): FileBdevParams {
  return { ...params, direct: params.direct ? 'try' : false };
}

function registerCommon(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }, module: FileModuleName): void {
  rpc.register({
    name: `bdev_${module}_delete`,
    states: RPC_RUNTIME,
    params: [NAME],
    summary: 'Removes a disk; the file stays.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, module);
      return true;
    },
  });
  rpc.register({
    name: `bdev_${module}_rescan`,
    states: RPC_RUNTIME,
    params: [NAME],
    summary: 'Takes over a new size of the file.',
    handler: async ({ name }) => {
      await rescanFile(deps.registry().reactor, module, name);
      return true;
    },
  });
}
