/** Superblocks on disks: read at the start of one that may be a member, written to those that are. Control path, app core. */
import { type Bdev, BdevDesc, dropSegment, IO_FLAG_FUA, shareSegment } from '../../../bdev/index.ts';
import { largeBuffer } from '../../../bdev/read-bytes.ts';
import { codeOfErrno, SpdkError } from '../../../env/errors.ts';
import type { Segment } from '../../../env/segment.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { BaseIo } from './base-io.ts';
import type { RaidDisk } from './raid-disk.ts';
import { raidLog } from './raid-log.ts';
import type { RaidSlot } from './raid-slot.ts';
import {
  decodeRaidSuperblock,
  encodeRaidSuperblock,
  RAID_ONLINE,
  RAID_SB_BYTES,
  RAID_SB_MEMBER_BYTES,
  type RaidSuperblock,
} from './raid-superblock.ts';

/** What is read first: it holds the superblock of up to 60 members. */
const FIRST_BYTES = 4096;

/** How much is read at most to find the superblock of a raid of so many members. */
export function superblockReadBytes(members: number, blockBytes: number): number {
  return wholeBlockBytes(Math.max(FIRST_BYTES, RAID_SB_BYTES + members * RAID_SB_MEMBER_BYTES), blockBytes);
}

/** Bytes in whole blocks. */
export function wholeBlockBytes(bytes: number, blockBytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

/**
 * The superblock of `bdev`; null when it has none.
 * @throws {DamagedRaidSuperblock} EINVAL; {SpdkError} EINVAL when it says something impossible; ENODEV, EIO when it cannot be read
 */
export async function readRaidSuperblock(bdev: Bdev, reactor: Reactor): Promise<RaidSuperblock | null> {
  const { blockSizeBytes, sizeBytes, name } = bdev;
  const buf = await largeBuffer(reactor);
  try {
    const desc = BdevDesc.open(name, { write: false, reactor, onEvent: () => {} });
    try {
      const io = new BaseIo(desc);
      const read = async (bytes: number): Promise<Uint8Array> => {
        const length = Math.min(wholeBlockBytes(bytes, blockSizeBytes), sizeBytes);
        if (length > buf.sizeBytes) {
          const limit = `limit ${buf.sizeBytes}, a large I/O buffer`;
          throw new SpdkError('EINVAL', `bdev "${name}": a RAID superblock of ${length} bytes, ${limit}`);
        }
        const status = await io.read(buf.segment, buf.offset, 0, length);
        if (status !== 0) throw new SpdkError(codeOfErrno(-status), `bdev "${name}": its first blocks cannot be read`);
        return buf.segment.u8.slice(buf.offset, buf.offset + length);
      };
      // In blocks as large nobody writes one (`layOutRaid`).
      if (sizeBytes < RAID_SB_BYTES || blockSizeBytes > buf.sizeBytes) return null;
      const found = decodeRaidSuperblock(await read(FIRST_BYTES));
      if (typeof found !== 'number') return found;
      const whole = decodeRaidSuperblock(await read(found));
      return typeof whole === 'number' ? null : whole;
    } finally {
      desc.close();
    }
  } finally {
    reactor.iobuf.put(buf);
  }
}

/** The superblock of a disk as it is now, into memory that holds the largest; how many bytes to write. */
export function fillSuperblock(disk: RaidDisk, into: Uint8Array): number {
  const { name, uuid, level } = disk.params;
  const sb = encodeRaidSuperblock({
    uuid,
    name,
    raidSize: disk.blocks,
    blockSize: disk.blockBytes,
    level,
    stripSize: disk.stripBlocks,
    state: RAID_ONLINE,
    seqNumber: disk.seq,
    flags: 0,
    numBaseBdevs: disk.slots.length,
    baseBdevs: disk.slots.map(({ sbEntry }) => sbEntry),
  });
  into.fill(0);
  into.set(sb);
  return wholeBlockBytes(sb.length, disk.blockBytes);
}

/** Writes `bytes` of `segment` to the start of a member, on to stable storage. A status. */
export function writeRaidSuperblock(io: BaseIo, segment: Segment, bytes: number): Promise<number> {
  return io.write(segment, 0, 0, bytes, IO_FLAG_FUA);
}

/**
 * Writes `bytes` of `segment` to the start of members, on to stable storage. Returns those that did not take it. The first is written before the others: what is several blocks long a power
 * cut may tear, but then one of all copies.
 */
export async function writeRaidSuperblocks(
  disk: RaidDisk,
  slots: readonly RaidSlot[],
  segment: Segment,
  bytes: number,
): Promise<RaidSlot[]> {
  const failed: RaidSlot[] = [];
  const write = async (slot: RaidSlot): Promise<void> => {
    const status = await writeRaidSuperblock(slot.io, segment, bytes);
    if (status === 0) return;
    raidLog.error(`raid "${disk.params.name}": the superblock of "${slot.name}" cannot be written: ${status}`);
    failed.push(slot);
  };
  const [first, ...others] = slots;
  if (first !== undefined) await write(first);
  await Promise.all(others.map(write));
  return failed;
}

/** Wipes the superblock of a disk, as far as it can be written. `io` is of nobody else meanwhile. */
export async function wipeRaidSuperblock(disk: RaidDisk, name: string, io: BaseIo): Promise<void> {
  const { reactor, blockBytes, params } = disk;
  const bytes = wholeBlockBytes(RAID_SB_BYTES, blockBytes);
  const id = await shareSegment(reactor, bytes);
  try {
    const status = await writeRaidSuperblock(io, reactor.segments.get(id), bytes);
    if (status !== 0) raidLog.warn(`raid "${params.name}": the superblock of "${name}" stays: ${status}`);
  } finally {
    await dropSegment(reactor, id);
  }
}
