/** bdev_split_create, bdev_split_delete (SPDK: module/bdev/split/vbdev_split_rpc.c). */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { deleteParts } from '../part/part-bdev.ts';
import { createSplit } from './split-bdev.ts';

export function registerSplitRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_split_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'base_bdev', type: 'string', required: true, description: 'The bdev to split' },
      { name: 'split_count', type: 'uint32', required: true, description: 'How many' },
      { name: 'split_size_mb', type: 'uint64', description: 'MiB of each; default: as large as they can be' },
    ],
    summary:
      'Makes disks of equal size out of one, with its name and p0, p1, ..., now or when it comes, and whenever it comes back.',
    handler: (params) => createSplit(deps.registry().reactor, params),
  });
  rpc.register({
    name: 'bdev_split_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'base_bdev', type: 'string', required: true, description: 'The bdev that was split' }],
    summary: 'Removes all disks that a disk was split into, or will be.',
    handler: async ({ base_bdev }) => {
      await deleteParts(deps.registry().reactor, 'split', base_bdev);
      return true;
    },
  });
}
