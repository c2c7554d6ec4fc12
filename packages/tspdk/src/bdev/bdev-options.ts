/** Options of the block layer: SPDK's `bdev_set_options`, and what they may be. */
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';

/** Of `bdev_set_options`, by SPDK's names. */
export interface BdevOptions {
  /** I/Os of users under way at once on one reactor. */
  bdev_io_pool_size: number;
  /** I/Os made at once. */
  bdev_io_cache_size: number;
  /** Examine disks as they are made. */
  bdev_auto_examine: boolean;
  /** I/O buffers that a core keeps for itself. */
  iobuf_small_cache_size: number;
  iobuf_large_cache_size: number;
}

export function defaultOptions(): BdevOptions {
  return {
    bdev_io_pool_size: limits.bdev_ios_max,
    bdev_io_cache_size: limits.bdev_io_grow,
    bdev_auto_examine: true,
    iobuf_small_cache_size: limits.iobuf_small_cache,
    iobuf_large_cache_size: limits.iobuf_large_cache,
  };
}

/** @throws {SpdkError} EINVAL when the pool is smaller than a cache, or larger than it may be */
export function checkOptions({ bdev_io_pool_size: ios, bdev_io_cache_size: growBy }: BdevOptions): void {
  const most = limits.bdev_io_pool_size_max;
  if (!(Number.isInteger(ios) && ios <= most)) {
    throw new SpdkError('EINVAL', `bdev_io_pool_size ${ios}, limit 1 to ${most}`);
  }
  if (!(growBy >= 1 && growBy <= ios)) {
    throw new SpdkError('EINVAL', `Pool size ${ios} too small for cache size ${growBy}`);
  }
}
