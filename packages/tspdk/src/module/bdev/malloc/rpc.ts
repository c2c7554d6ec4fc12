/** bdev_malloc_create, bdev_malloc_delete (SPDK: module/bdev/malloc/bdev_malloc_rpc.c). */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';

export function registerMallocRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_malloc_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', description: 'Name; default Malloc0, Malloc1, ...' },
      { name: 'block_size', type: 'uint32', required: true, description: 'Bytes of a block, a multiple of 512' },
      { name: 'num_blocks', type: 'uint64', required: true, description: 'Number of blocks' },
      { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
      { name: 'optimal_io_boundary', type: 'uint32', description: 'Blocks between boundaries I/O should not cross' },
      { name: 'physical_block_size', type: 'uint32', description: 'Bytes of a physical block' },
      { name: 'numa_id', type: 'int32', description: 'Accepted; the operating system places the memory' },
      { name: 'md_size', type: 'uint32', description: 'Metadata bytes of a block; default 0' },
      {
        name: 'md_interleave',
        type: 'boolean',
        description: 'Metadata behind the data of each block, not in memory of its own',
      },
      { name: 'dif_type', type: 'int32', description: 'Protection information in the metadata: 0 none, 1 to 3' },
      {
        name: 'dif_is_head_of_md',
        type: 'boolean',
        description: 'It is the first, not the last 8 bytes of the metadata',
      },
      { name: 'dif_pi_format', type: 'uint32', description: 'Only 0, a 16-bit guard, is supported' },
    ],
    summary: 'Makes a disk in memory.',
    handler: async (params) => {
      const { dif_pi_format = 0, ...rest } = params;
      if (dif_pi_format !== 0) throw new SpdkError('ENOTSUP', `dif_pi_format ${dif_pi_format}; only 0 is supported`);
      return (await deps.registry().create('malloc', rest)).name;
    },
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
