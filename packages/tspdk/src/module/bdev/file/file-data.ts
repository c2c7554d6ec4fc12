/** What crosses to every reactor about an open file, and what they share of it. */

import { EXTENT_HOLE, EXTENT_ZERO, type Extents } from '../../../bdev/extents.ts';
import { ffi } from '../../../env/ffi.ts';
import { alignedOffset, type Segment } from '../../../env/segment.ts';
import { log } from '../../../log/index.ts';

export const fileLog = log.register('bdev_file');

export interface FileData {
  readonly filename: string;
  /** Descriptors are process-wide: opened once, on the app core. */
  readonly fd: number;
  readonly blockSizeBytes: number;
  readonly readonly: boolean;
  /** Holes may be punched and ranges zeroed by fallocate. */
  readonly fallocate: boolean;
  /** Opened with O_DIRECT: offsets, lengths and addresses are multiples of `alignBytes`. */
  readonly direct: boolean;
  readonly alignBytes: number;
  readonly blockSizeOverride: boolean;
  /** One word: which kinds of memory O_DIRECT I/O has used so far, MEMORY_*. */
  readonly memory: SharedArrayBuffer;
}

export const MEMORY_REGISTERED = 1;
export const MEMORY_PLAIN = 2;
const MEMORY_WORDS = ['not used yet', 'registered', 'not registered', 'partly registered'] as const;

/** For people: whether the memory of O_DIRECT I/O is registered with io_uring. */
export function memoryText({ memory }: FileData): string {
  return MEMORY_WORDS[Atomics.load(new Int32Array(memory), 0)];
}

/** Where zeroes are written from: of a segment of them, what begins and ends as O_DIRECT wants it. */
export function zeroesIn(segment: Segment): { readonly offset: number; readonly bytes: number } {
  const offset = alignedOffset(segment, 4096);
  return { offset, bytes: Math.floor((segment.sizeBytes - offset) / 65536) * 65536 };
}

const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;
/** So many pieces of a file are asked for at once: about a millisecond. */
const STATUS_STEPS = 1024;

/**
 * Holes by lseek, where the file system knows them; it is a call on this thread, short, and not on the data path of a read. In whole blocks of the disk: the file system's may be smaller, and a file
 * that somebody has cut ends at any byte. Behind that end nothing can be read, so that is no hole: who copies the disk is to ask for it, and to be told. Where many steps make one extent, as in blocks that are holes in part, the rest is told next time.
 */
export function blockStatusOf(data: FileData, byteOffset: number, bytes: number, out: Extents): number {
  const { fd, blockSizeBytes } = data;
  const end = byteOffset + bytes;
  for (let at = byteOffset, left = STATUS_STEPS; at < end && left > 0; left--) {
    let next = ffi === null ? at : ffi.lseek(fd, at, SEEK_DATA);
    let flags = EXTENT_HOLE | EXTENT_ZERO;
    if (next === at) {
      flags = 0;
      next = ffi === null ? end : ffi.lseek(fd, at, SEEK_HOLE);
      next = next > at ? Math.ceil(next / blockSizeBytes) * blockSizeBytes : end;
    } else {
      const errno = next < 0 ? (ffi as NonNullable<typeof ffi>).errno() : 0;
      // No data from here to the end of the file.
      if (errno === ENXIO) next = (ffi as NonNullable<typeof ffi>).lseek(fd, 0, SEEK_END);
      next = Math.floor(next / blockSizeBytes) * blockSizeBytes;
      if (next <= at) {
        flags = 0;
        next = errno !== 0 ? end : (Math.floor(at / blockSizeBytes) + 1) * blockSizeBytes;
      }
    }
    next = Math.min(next, end);
    if (!out.push(next - at, flags)) break;
    at = next;
  }
  return 0;
}
