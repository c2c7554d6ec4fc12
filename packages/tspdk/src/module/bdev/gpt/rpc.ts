/** bdev_gpt_create, bdev_gpt_delete: the kit's own, since SPDK has partitions of its own type alone. */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { createGpt, deleteGpt } from './gpt-bdev.ts';

export function registerGptRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_gpt_create',
    states: RPC_RUNTIME,
    params: [{ name: 'base_bdev', type: 'string', required: true, description: 'The bdev with the partition table' }],
    summary:
      'Makes disks of all partitions of a disk, but for those that are there, with its name and p1, p2, ...; answers their names.',
    handler: ({ base_bdev }) => createGpt(deps.registry().reactor, base_bdev),
  });
  rpc.register({
    name: 'bdev_gpt_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'base_bdev', type: 'string', required: true, description: 'The bdev with the partition table' }],
    summary: 'Removes the disks of the partitions of a disk, however they came to be. The partitions stay.',
    handler: async ({ base_bdev }) => {
      await deleteGpt(deps.registry().reactor, base_bdev);
      return true;
    },
  });
}
