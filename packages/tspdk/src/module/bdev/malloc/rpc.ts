/** bdev_malloc_create, bdev_malloc_delete (SPDK: module/bdev/malloc/bdev_malloc_rpc.c). */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { METADATA_PARAMS } from '../metadata-params.ts';

export function registerMallocRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_malloc_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', description: 'Name; default Malloc0, Malloc1, ...' },
      { name: 'block_size', type: 'uint32', required: true, description: 'Bytes of a block, a multiple of 512' },
      { name: 'num_blocks', type: 'uint64', required: true, description: 'Number of blocks' },
      { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
      {
        name: 'optimal_io_boundary',
        type: 'uint32',
        description: 'Blocks between boundaries that no read or write crosses: the layer splits',
      },
      { name: 'physical_block_size', type: 'uint32', description: 'Bytes of a physical block' },
      { name: 'numa_id', type: 'int32', description: 'Accepted; the operating system places the memory' },
      {
        name: 'md_interleave',
        type: 'boolean',
        description: 'Metadata behind the data of each block, not in memory of its own',
      },
      ...METADATA_PARAMS,
    ],
    summary: 'Makes a disk in memory.',
    handler: async (params) => (await deps.registry().create('malloc', params)).name,
  });
  rpc.register({
    name: 'bdev_malloc_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Removes a disk in memory.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, 'malloc');
      return true;
    },
  });
}
