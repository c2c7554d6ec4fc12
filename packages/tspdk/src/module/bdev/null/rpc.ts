/** bdev_null_create, bdev_null_delete, bdev_null_resize (SPDK: module/bdev/null/bdev_null_rpc.c). */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { METADATA_PARAMS } from '../metadata-params.ts';

const MIB = 1024 * 1024;

export function registerNullRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_null_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name' },
      {
        name: 'block_size',
        type: 'uint32',
        required: true,
        description: 'Bytes of a block with its metadata; without, a multiple of 512',
      },
      { name: 'num_blocks', type: 'uint64', required: true, description: 'Number of blocks' },
      { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
      { name: 'physical_block_size', type: 'uint32', description: 'Bytes of a physical block' },
      { name: 'preferred_write_granularity', type: 'uint32', description: 'Blocks' },
      { name: 'preferred_write_alignment', type: 'uint32', description: 'Blocks' },
      { name: 'optimal_write_size', type: 'uint32', description: 'Blocks' },
      { name: 'preferred_unmap_granularity', type: 'uint32', description: 'Blocks' },
      { name: 'preferred_unmap_alignment', type: 'uint32', description: 'Blocks' },
      ...METADATA_PARAMS,
    ],
    summary: 'Makes a disk that keeps nothing.',
    handler: async (params) => {
      const { physical_block_size, preferred_write_granularity, preferred_write_alignment, ...more } = params;
      const { optimal_write_size, preferred_unmap_granularity, preferred_unmap_alignment, ...rest } = more;
      const limits = {
        physicalBlockSizeBytes: physical_block_size ?? 0,
        preferredWriteGranularityBlocks: preferred_write_granularity ?? 0,
        preferredWriteAlignmentBlocks: preferred_write_alignment ?? 0,
        optimalWriteSizeBlocks: optimal_write_size ?? 0,
        preferredUnmapGranularityBlocks: preferred_unmap_granularity ?? 0,
        preferredUnmapAlignmentBlocks: preferred_unmap_alignment ?? 0,
      };
      return (await deps.registry().create('null', { ...rest, limits })).name;
    },
  });
  rpc.register({
    name: 'bdev_null_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Removes a null disk.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, 'null');
      return true;
    },
  });
  rpc.register({
    name: 'bdev_null_resize',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The bdev' },
      { name: 'new_size', type: 'uint64', required: true, description: 'New size in MiB' },
    ],
    summary: 'Gives a null disk another size.',
    handler: async ({ name, new_size }) => {
      const registry = deps.registry();
      const bdev = registry.get(name);
      if (bdev.moduleName !== 'null')
        throw new SpdkError('ENODEV', `bdev "${name}" is of module ${bdev.moduleName}, not null`);
      await registry.resize(name, Math.floor((new_size * MIB) / bdev.blockSizeBytes));
      return true;
    },
  });
}
