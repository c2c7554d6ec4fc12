/**
 * What kind of file it is: size, block size, and what O_DIRECT asks of us. Control path, app core.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, type Stats, statSync } from 'node:fs';
import { SpdkError, toSpdkError } from '../../../env/errors.ts';
import { alignedOffset, makeSegment } from '../../../env/segment.ts';

export interface OpenedFile {
  readonly fd: number;
  readonly sizeBytes: number;
  readonly direct: boolean;
  /** Of offsets, lengths and addresses; 1 without O_DIRECT. */
  readonly alignBytes: number;
  /** The device's own block size; 0 for a regular file. */
  readonly deviceBlockBytes: number;
}

export interface OpenFileOptions {
  readonly filename: string;
  readonly readonly: boolean;
  /** Bypass the page cache where the file system and the backend can. */
  readonly direct: boolean;
}

/** @throws {SpdkError} ENOENT, EACCES, ... of the system; EINVAL when it is neither file nor block device. */
export function openFile(options: OpenFileOptions): OpenedFile {
  // Looked at before it is opened: a FIFO that nobody writes to would not open, nor this core go on.
  checkKind(statOrThrow(options.filename), options.filename);
  const access = options.readonly ? constants.O_RDONLY : constants.O_RDWR;
  const direct = options.direct ? tryDirect(options.filename, access) : null;
  const fd = direct?.fd ?? openOrThrow(options.filename, access);
  try {
    const stats = fstatSync(fd);
    const deviceBlockBytes = stats.isBlockDevice() ? deviceAttribute(stats, 'queue/logical_block_size', 512) : 0;
    return {
      fd,
      sizeBytes: fileSize(fd, options.filename),
      direct: direct !== null,
      alignBytes: direct?.alignBytes ?? 1,
      deviceBlockBytes,
    };
  } catch (error) {
    closeSync(fd);
    throw toSpdkError(error, options.filename);
  }
}

function statOrThrow(filename: string): Stats {
  try {
    return statSync(filename);
  } catch (error) {
    throw toSpdkError(error, `file "${filename}"`);
  }
}

function checkKind(stats: Stats, filename: string): void {
  if (stats.isFile() || stats.isBlockDevice()) return;
  throw new SpdkError('EINVAL', `"${filename}" is neither a file nor a block device`);
}

function openOrThrow(filename: string, flags: number): number {
  try {
    return openSync(filename, flags);
  } catch (error) {
    throw toSpdkError(error, `file "${filename}"`);
  }
}

/** The present size. @throws {SpdkError} EINVAL when it is neither file nor block device. */
export function fileSize(fd: number, filename: string): number {
  const stats = fstatSync(fd);
  checkKind(stats, filename);
  if (stats.isFile()) return stats.size;
  return deviceAttribute(stats, 'size', 0) * 512;
}

/** A number that the kernel says of a block device. */
function deviceAttribute(stats: Stats, attribute: string, otherwise: number): number {
  const dev = stats.rdev;
  const major = ((dev >>> 8) & 0xfff) | (Math.floor(dev / 2 ** 32) & ~0xfff);
  const minor = (dev & 0xff) | (Math.floor(dev / 2 ** 12) & 0xffffff00);
  for (const path of [`/sys/dev/block/${major}:${minor}`, `/sys/dev/block/${major}:${minor}/..`]) {
    try {
      return Number(readFileSync(`${path}/${attribute}`, 'utf8'));
    } catch {
      // A partition has its queue in its disk's directory.
    }
  }
  return otherwise;
}

/** Opens past the page cache and finds the alignment by trying; null when the file system has none of it. */
function tryDirect(filename: string, access: number): { fd: number; alignBytes: number } | null {
  let fd: number;
  try {
    fd = openSync(filename, access | constants.O_DIRECT);
  } catch {
    return null;
  }
  const memory = makeSegment(0, new SharedArrayBuffer(12288));
  const at = alignedOffset(memory, 4096);
  for (const alignBytes of [512, 4096]) {
    try {
      readSync(fd, memory.u8, at + (alignBytes % 4096), alignBytes, alignBytes);
      return { fd, alignBytes };
    } catch {
      // The next coarser one.
    }
  }
  closeSync(fd);
  return null;
}
