/**
 * The log of Linux's dm-log-writes, so that what a disk was told can be kept in the format that its tools (replay-log of xfstests, QEMU's
 * blklogwrites) read and write. Layout only: encoding into memory and decoding from it; see log-replay.ts for a whole log.
 *
 * As Documentation/admin-guide/device-mapper/log-writes.rst and the head of drivers/md/dm-log-writes.c have it: all is little endian and in sectors of the log,
 * whose size the superblock in sector 0 names. From sector 1 on lies one entry after the other, each in a sector of its own; the data written follows it,
 * `nr_sectors` long. A discard has sectors but no data, a flush neither, and a mark its label in the entry's own sector, behind the 32 bytes of the
 * entry. Entries of writes stand in the order in which they completed, behind the flush that made them durable if one did.
 */
import { SpdkError } from '../../../env/errors.ts';

/** "rhswfsj" as bytes; in two words, as it is past what a number holds exactly. */
const MAGIC_LOW = 0x77736872;
const MAGIC_HIGH = 0x006a7366;
const VERSION = 1;

/** What an entry is; also the requests' own flags. */
export const LOG_FLUSH_FLAG = 1 << 0;
export const LOG_FUA_FLAG = 1 << 1;
export const LOG_DISCARD_FLAG = 1 << 2;
export const LOG_MARK_FLAG = 1 << 3;
export const LOG_METADATA_FLAG = 1 << 4;
export const LOG_FLAGS = LOG_FLUSH_FLAG | LOG_FUA_FLAG | LOG_DISCARD_FLAG | LOG_MARK_FLAG | LOG_METADATA_FLAG;

/** Bytes of an entry before its label. */
export const LOG_ENTRY_BYTES = 32;
/** Bytes of the superblock that mean something. */
export const LOG_SUPER_BYTES = 28;
/** Sectors are a power of two in this range. */
export const LOG_SECTOR_BYTES_MIN = 512;
export const LOG_SECTOR_BYTES_MAX = 65536;

/** Whether a log may have such sectors. */
export function isLogSectorSize(bytes: number): boolean {
  return bytes >= LOG_SECTOR_BYTES_MIN && bytes <= LOG_SECTOR_BYTES_MAX && (bytes & (bytes - 1)) === 0;
}

/** Sectors of the log behind an entry's own: its data. */
export function logDataSectors(flags: number, nrSectors: number): number {
  return (flags & (LOG_DISCARD_FLAG | LOG_MARK_FLAG)) !== 0 ? 0 : nrSectors;
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** As a number: not exact from 2^53 on, which whoever reads it bounds. */
function getU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

function zero(view: DataView, offset: number, bytes: number): void {
  for (let at = 0; at < bytes; at += 4) view.setInt32(offset + at, 0, true);
}

/** Writes the superblock's sector, all of it, at `offset`. Data path. */
export function encodeLogSuper(view: DataView, offset: number, sectorSize: number, nrEntries: number): void {
  zero(view, offset, sectorSize);
  view.setUint32(offset, MAGIC_LOW, true);
  view.setUint32(offset + 4, MAGIC_HIGH, true);
  view.setUint32(offset + 8, VERSION, true);
  setU64(view, offset + 16, nrEntries);
  view.setUint32(offset + 24, sectorSize, true);
}

/** Writes the sector of an entry, all of it, at `offset`. `sector`, `nrSectors`: what was written, in the log's sectors. Data path. */
export function encodeLogEntry(
  view: DataView,
  offset: number,
  sectorSize: number,
  sector: number,
  nrSectors: number,
  flags: number,
): void {
  zero(view, offset, sectorSize);
  setU64(view, offset, sector);
  setU64(view, offset + 8, nrSectors);
  view.setUint32(offset + 16, flags, true);
}

/**
 * Writes the sector of a mark.
 * @throws {SpdkError} ENAMETOOLONG when the label, as UTF-8, does not fit the sector.
 */
export function encodeLogMark(view: DataView, offset: number, sectorSize: number, label: string): void {
  const bytes = new TextEncoder().encode(label);
  if (bytes.length > sectorSize - LOG_ENTRY_BYTES) {
    throw new SpdkError('ENAMETOOLONG', `a mark of ${bytes.length} bytes in a log of ${sectorSize}-byte sectors`);
  }
  encodeLogEntry(view, offset, sectorSize, 0, 0, LOG_MARK_FLAG);
  setU64(view, offset + 24, bytes.length);
  for (let i = 0; i < bytes.length; i++) view.setUint8(offset + LOG_ENTRY_BYTES + i, bytes[i]);
}

/** What a superblock says. */
export interface LogSuper {
  readonly sectorSize: number;
  readonly nrEntries: number;
}

/** @throws {SpdkError} EINVAL, with what is wrong: magic, version, size of sectors, number of entries. */
export function decodeLogSuper(view: DataView, offset = 0): LogSuper {
  if (offset + LOG_SUPER_BYTES > view.byteLength) throw new SpdkError('EINVAL', 'no log of writes: it is too short');
  if (view.getUint32(offset, true) !== MAGIC_LOW || view.getUint32(offset + 4, true) !== MAGIC_HIGH) {
    throw new SpdkError('EINVAL', 'no log of writes: the magic number is another');
  }
  const version = getU64(view, offset + 8);
  if (version !== VERSION) throw new SpdkError('EINVAL', `a log of writes of version ${version}, not ${VERSION}`);
  const nrEntries = getU64(view, offset + 16);
  const sectorSize = view.getUint32(offset + 24, true);
  if (!isLogSectorSize(sectorSize))
    throw new SpdkError('EINVAL', `a log of writes with sectors of ${sectorSize} bytes`);
  if (!Number.isSafeInteger(nrEntries)) throw new SpdkError('EINVAL', 'a log of writes with more than 2^53 entries');
  return { sectorSize, nrEntries };
}

/** An entry as it was read; reused. */
export class LogEntry {
  sector = 0;
  nrSectors = 0;
  flags = 0;
  dataLen = 0;

  /** Takes the 32 bytes at `offset`. Numbers past 2^53 come out as large, not exact. */
  decode(view: DataView, offset: number): void {
    this.sector = getU64(view, offset);
    this.nrSectors = getU64(view, offset + 8);
    this.flags = getU64(view, offset + 16);
    this.dataLen = getU64(view, offset + 24);
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }
}

/** Where the next entry of a log goes, and how many there are. For the one who appends. */
export class LogTail {
  readonly sectorSize: number;
  /** Sectors of the log itself. */
  logSectors: number;
  nextSector = 1;
  nrEntries = 0;

  /** @throws {SpdkError} EINVAL for a size of sectors that no log has, or a log without room for an entry. */
  constructor(sectorSize: number, logBytes: number) {
    if (!isLogSectorSize(sectorSize)) throw new SpdkError('EINVAL', `a log with sectors of ${sectorSize} bytes`);
    this.sectorSize = sectorSize;
    this.logSectors = Math.floor(logBytes / sectorSize);
    if (this.logSectors < 2) throw new SpdkError('EINVAL', `a log of ${logBytes} bytes holds no entry`);
  }

  /** The log's disk has another size, which is no smaller. */
  grow(logBytes: number): void {
    this.logSectors = Math.max(this.logSectors, Math.floor(logBytes / this.sectorSize));
  }

  /** Takes the room for an entry and its data: the byte at which the entry starts, or -1 when the log is full. Data path. */
  append(flags: number, nrSectors: number): number {
    const sector = this.nextSector;
    const next = sector + 1 + logDataSectors(flags, nrSectors);
    if (!(next <= this.logSectors)) return -1;
    this.nextSector = next;
    this.nrEntries++;
    return sector * this.sectorSize;
  }
}
