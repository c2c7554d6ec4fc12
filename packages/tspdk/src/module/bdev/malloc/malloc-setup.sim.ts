/** Memory disks for the tests of what stands on them. */
import type { Cluster } from '../../../bdev/cluster.sim.ts';
import type { Bdev } from '../../../bdev/index.ts';
import './malloc-bdev.ts';
import type { MallocBdevParams } from './malloc-bdev.ts';

/** A memory disk with blocks of 512 bytes, unless `more` says otherwise. */
export const malloc = (
  cluster: Cluster,
  name: string,
  blocks = 256,
  more: Partial<MallocBdevParams> = {},
): Promise<Bdev> =>
  cluster.until(cluster.bdevs.create('malloc', { name, block_size: 512, num_blocks: blocks, ...more }));
