/** What a RAID disk is, given its members: who may be one, size, what it takes, what it wants. Control path. */
import {
  type Bdev,
  type BdevLimits,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  IO_ZCOPY,
  ioTypes,
} from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { RaidDisk } from './raid-disk.ts';
import { CONCAT, RAID0, RAID1, raidLevelName } from './raid-level.ts';
import { ConcatMap, Raid0Map, Raid5fMap } from './raid-map.ts';
import type { RaidSlot } from './raid-slot.ts';
import { RAID_MIN_DATA_OFFSET_BYTES, RAID_SB_BYTES, RAID_SB_MEMBER_BYTES } from './raid-superblock.ts';
import { superblockReadBytes } from './superblock-io.ts';

export interface RaidGeometry {
  readonly blocks: number;
  readonly ioTypes: number;
  readonly volatileCache: boolean;
  readonly limits: Partial<BdevLimits>;
  /** Memory that the level needs to work with, over all cores. */
  readonly scratchBytes: number;
}

/** What a disk is made of, as far as it is known. */
export interface RaidShape {
  readonly params: { readonly name: string; readonly level: number };
  readonly stripBlocks: number;
  readonly blockBytes: number;
  readonly slots: readonly { readonly dataBlocks: number }[];
}

/** Types that every member takes, of those that go to members. */
function common(bases: readonly Bdev[]): number {
  let types = ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH, IO_WRITE_ZEROES);
  for (const { takenTypes } of bases) types &= takenTypes;
  return types;
}

/** @throws {SpdkError} EINVAL when the members are too small, or a strip is not whole blocks. */
export function raidGeometry(shape: RaidShape, bases: readonly Bdev[], cores: number): RaidGeometry {
  const { slots, stripBlocks, blockBytes } = shape;
  const { level, name } = shape.params;
  const types = common(bases);
  const sizes = slots.map(({ dataBlocks }) => dataBlocks);
  // A member that comes later may have a cache, whatever the first ones have.
  const flushed = { ioTypes: types | ioTypes(IO_FLUSH), volatileCache: true };
  if (level === RAID1) return { ...flushed, blocks: Math.min(...sizes), limits: {}, scratchBytes: 0 };
  if (!Number.isInteger(stripBlocks)) {
    throw new SpdkError(
      'EINVAL',
      `raid "${name}": strips of ${stripBlocks * blockBytes} bytes are no whole blocks of ${blockBytes}`,
    );
  }
  if (level === RAID0 || level === CONCAT) {
    const { blocks } = level === CONCAT ? new ConcatMap(sizes, stripBlocks) : new Raid0Map(sizes, stripBlocks);
    const zcopy = bases.every(({ takesBytes }) => takesBytes) ? 1 << IO_ZCOPY : 0;
    const limits = { optimalIoBoundaryBlocks: stripBlocks, splitOnOptimalIoBoundary: slots.length > 1 };
    const volatileCache = bases.some((base) => base.volatileCache);
    return { blocks, ioTypes: types | zcopy, volatileCache, limits, scratchBytes: 0 };
  }
  const { blocks, stripeBlocks } = new Raid5fMap(sizes, stripBlocks);
  return {
    blocks,
    ...flushed,
    ioTypes: flushed.ioTypes & ioTypes(IO_READ, IO_WRITE, IO_FLUSH, IO_WRITE_ZEROES),
    limits: {
      optimalIoBoundaryBlocks: stripBlocks,
      splitOnOptimalIoBoundary: true,
      writeUnitBlocks: stripeBlocks,
      splitOnWriteUnit: true,
      preferredWriteAlignmentBlocks: stripeBlocks,
      preferredWriteGranularityBlocks: stripeBlocks,
      optimalWriteSizeBlocks: stripeBlocks,
    },
    scratchBytes: cores * parityBuffers(stripBlocks * blockBytes) * stripBlocks * blockBytes,
  };
}

/** Buffers of one core: as many as share 4 MiB, from 2 to 32. */
function parityBuffers(stripBytes: number): number {
  return Math.max(2, Math.min(32, Math.floor((4 * 1024 * 1024) / stripBytes)));
}

/** Whether a disk may be the member of a slot. @throws {SpdkError} EINVAL when it does not fit */
export function checkRaidMember(disk: RaidDisk, slot: RaidSlot, bdev: Bdev): void {
  const { params, blockBytes, bdev: own } = disk;
  if (bdev.blockSizeBytes !== blockBytes) {
    const blocks = `blocks of ${bdev.blockSizeBytes} bytes, not ${blockBytes} as the other base bdevs`;
    throw new SpdkError('EINVAL', `raid "${params.name}": bdev "${bdev.name}" has ${blocks}`);
  }
  const { writeUnitBlocks } = bdev.limits;
  if (writeUnitBlocks > 1 && disk.least < disk.slots.length) {
    // A write that it refused would be one that it failed, for which it would be dropped.
    const unit = `is written in units of ${writeUnitBlocks} blocks, and a ${raidLevelName(params.level)} in any`;
    throw new SpdkError('EINVAL', `raid "${params.name}": bdev "${bdev.name}" ${unit}`);
  }
  if (own !== null && bdev.level >= own.level) {
    const level = `stands on ${bdev.level} disks, one on another; limit ${own.level - 1}, as set when the raid was made`;
    throw new SpdkError('EINVAL', `raid "${params.name}": bdev "${bdev.name}" ${level}`);
  }
  if (params.superblock && disk.seq > 0) {
    const end = Math.ceil((RAID_SB_BYTES + disk.slots.length * RAID_SB_MEMBER_BYTES) / blockBytes);
    if (slot.dataOffset < end) {
      const data = `has its data from block ${slot.dataOffset} on, and the superblock ends at block ${end}`;
      throw new SpdkError('EINVAL', `raid "${params.name}": bdev "${bdev.name}" ${data}`);
    }
  }
  if (disk.seq > 0 && slot.dataOffset + slot.dataBlocks > bdev.blocks) {
    const size = `${bdev.blocks} blocks, fewer than ${slot.dataOffset + slot.dataBlocks}`;
    throw new SpdkError('EINVAL', `raid "${params.name}": bdev "${bdev.name}" has ${size}`);
  }
}

/** Whether members of that geometry make a disk as large as its superblock says. @throws {SpdkError} EINVAL when they are too small, or it would end inside a stripe */
export function checkRaidSize({ params, blocks }: RaidDisk, geometry: RaidGeometry): void {
  const unit = geometry.limits.writeUnitBlocks ?? 1;
  if (geometry.blocks >= blocks && blocks % unit === 0) return;
  const stripes = unit > 1 ? ` in stripes of ${unit}` : '';
  const what = `${geometry.blocks} blocks${stripes}, its superblock says ${blocks}`;
  throw new SpdkError('EINVAL', `raid "${params.name}": ${what}`);
}

/** Has the slots of a disk that is new say where the data lies on its members. @throws {SpdkError} EINVAL when one has no room for any, or its superblock could not be read again */
export function layOutRaid({ params, slots, blockBytes, reactor }: RaidDisk): void {
  const bytes = params.superblock ? superblockReadBytes(slots.length, blockBytes) : 0;
  const most = reactor.iobuf.largeBytes;
  if (bytes > most) {
    throw new SpdkError(
      'EINVAL',
      `raid "${params.name}": superblocks of ${bytes} bytes, limit ${most}, a large I/O buffer`,
    );
  }
  const offset = params.superblock ? Math.ceil(RAID_MIN_DATA_OFFSET_BYTES / blockBytes) : 0;
  let least = Number.POSITIVE_INFINITY;
  for (const slot of slots) {
    slot.dataOffset = offset;
    if (slot.base === null) continue;
    slot.dataBlocks = slot.base.bdev.blocks - offset;
    least = Math.min(least, slot.dataBlocks);
    if (slot.dataBlocks <= 0) {
      const what = `has ${slot.base.bdev.blocks} blocks, and the data starts at ${offset}`;
      throw new SpdkError('EINVAL', `raid "${params.name}": bdev "${slot.name}" ${what}`);
    }
  }
  for (const slot of slots) if (slot.base === null) slot.dataBlocks = least;
}
