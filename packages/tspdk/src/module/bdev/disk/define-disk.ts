/**
 * defineDisk: a block device of one's own, as a handful of async functions. What a user's disk module exports by default.
 *
 *   import { defineDisk } from 'tspdk';
 *   const memory = new Uint8Array(1 << 20);
 *   export default defineDisk({
 *     size: memory.length,
 *     async read(offset, buffer) { buffer.set(memory.subarray(offset, offset + buffer.length)); },
 *     async write(offset, buffer) { memory.set(buffer, offset); },
 *   });
 *
 * The functions run on one reactor, the disk's home core; requests from all cores are carried there. Several are under way at once, in any order.
 */
import { SpdkError } from '../../../env/errors.ts';
import { limits } from '../../../env/limits.ts';

/** The request behind a call. */
export interface DiskRequest {
  /** Aborted when the request is given up: its time is over, or an abort or a reset ended it, from whatever core. Made when first asked for. */
  readonly signal: AbortSignal;
}

/** A part of a disk that is alike. */
export interface DiskExtent {
  /** Bytes, in whole blocks. */
  readonly length: number;
  /** Nothing is stored there, and it reads as zeroes. */
  readonly hole: boolean;
}

/** What a disk does. Offsets and lengths are bytes, multiples of `blockSize`, inside the disk. Functions are properties here, as TypeScript checks the parameters of methods less strictly: a `Buffer` for `buffer` would pass. */
export interface DiskDefinition {
  /** Bytes; a multiple of `blockSize`, below 2^53. */
  readonly size: number;
  /** Bytes of a block: a power of two from 512 to 65536. Default 512. */
  readonly blockSize?: number;
  /** What a call may take, ms; then its I/O fails with EIO, and `request.signal` aborts. Default 30,000. */
  readonly timeoutMs?: number;
  /**
   * Fills all of `buffer`. It is the initiator's own memory, shared between threads and not copied: write to it only until the
   * promise settles or `request.signal` aborts, afterwards it is somebody else's.
   * A thrown error becomes the I/O's error: its `code` ('ENOSPC', 'EACCES', ...) is kept, any other is EIO.
   */
  readonly read: (offset: number, buffer: Uint8Array, request: DiskRequest) => Promise<void> | void;
  /** Stores `buffer`, which is not to be changed, nor kept after the promise settles. Without it the disk is read-only. */
  readonly write?: (offset: number, buffer: Uint8Array, request: DiskRequest) => Promise<void> | void;
  /**
   * As `read`, where the client's memory lies in several pieces: fills each of `buffers`, one after the other. Without it, `read` gets one buffer for all, which is copied.
   */
  readonly readv?: (offset: number, buffers: readonly Uint8Array[], request: DiskRequest) => Promise<void> | void;
  /** As `write`, from several pieces of memory. */
  readonly writev?: (offset: number, buffers: readonly Uint8Array[], request: DiskRequest) => Promise<void> | void;
  /**
   * What is stored in the range, from `offset` on: extents one after the other, up to `length` bytes together; fewer say nothing of the rest. At once, not by a promise. Without it all counts as data, and so it does for clients of
   * other cores than the disk's.
   */
  readonly extents?: (offset: number, length: number) => Iterable<DiskExtent>;
  /** What was written before is safe when it settles. Without it a settled write counts as safe. */
  readonly flush?: (request: DiskRequest) => Promise<void> | void;
  /** The range holds nothing any more and must read as zeroes. Without it trim is not offered. */
  readonly trim?: (offset: number, length: number, request: DiskRequest) => Promise<void> | void;
  /** The range must read as zeroes. Without it zeroes are written. */
  readonly zero?: (offset: number, length: number, request: DiskRequest) => Promise<void> | void;
  /** The disk is removed; nothing is under way. */
  readonly close?: () => Promise<void> | void;
}

const BRAND = Symbol.for('tspdk.disk');

/** A checked definition. */
export type Disk = DiskDefinition & { readonly blockSize: number };

const FUNCTIONS = ['read', 'write', 'readv', 'writev', 'extents', 'flush', 'trim', 'zero', 'close'] as const;
const PROPERTIES: readonly string[] = ['size', 'blockSize', 'timeoutMs', ...FUNCTIONS];
/** A day: longer than any client waits. */
const TIMEOUT_MS_MAX = 86_400_000;

/** As an error shows it: text in quotes, so that '512' is told from 512. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'bigint' ? `${value}n` : String(value);
}

/** The property that `key` was likely meant to be; undefined when it is none, or right. */
function meant(key: string): string | undefined {
  const plain = (name: string) => name.replaceAll(/[_-]/g, '').toLowerCase();
  return PROPERTIES.find((name) => name !== key && plain(name) === plain(key));
}

/**
 * Checks a definition and makes it a disk.
 * @throws {SpdkError} EINVAL naming the property and its value.
 */
export function defineDisk(definition: DiskDefinition): Disk {
  const { size, blockSize = 512, timeoutMs } = definition;
  const refuse = (what: string) => new SpdkError('EINVAL', `defineDisk: ${what}`);
  for (const key of Object.keys(definition)) {
    const name = meant(key);
    if (name !== undefined) throw refuse(`"${key}" is no property; it is written ${name}`);
  }
  const powerOfTwo = Number.isInteger(blockSize) && (blockSize & (blockSize - 1)) === 0;
  if (!powerOfTwo || blockSize < 512 || blockSize > limits.bdev_disk_block_bytes_max) {
    throw refuse(
      `blockSize is ${shown(blockSize)}; it is a power of two from 512 to ${limits.bdev_disk_block_bytes_max}`,
    );
  }
  if (!Number.isSafeInteger(size) || size <= 0 || size % blockSize !== 0) {
    throw refuse(`size is ${shown(size)}; it is a positive multiple of blockSize ${blockSize}, in bytes, below 2^53`);
  }
  if (timeoutMs !== undefined && !(Number.isInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= TIMEOUT_MS_MAX)) {
    throw refuse(`timeoutMs is ${shown(timeoutMs)}; it is an integer from 1 to ${TIMEOUT_MS_MAX}`);
  }
  if (definition.read === undefined) throw refuse('read is missing; it is a function (offset, buffer)');
  for (const name of FUNCTIONS) {
    const value: unknown = definition[name];
    if (value !== undefined && typeof value !== 'function')
      throw refuse(`${name} is ${shown(value)}; it is a function`);
  }
  for (const name of ['writev', 'flush', 'trim', 'zero'] as const) {
    if (definition[name] !== undefined && definition.write === undefined) {
      throw refuse(`${name} makes no sense on a disk without write`);
    }
  }
  // Bound, so that the definition may be an object of a class.
  const { read, write, readv, writev, extents, flush, trim, zero, close } = definition;
  const disk = {
    size,
    blockSize,
    ...(timeoutMs !== undefined && { timeoutMs }),
    read: read.bind(definition),
    ...(write && { write: write.bind(definition) }),
    ...(readv && { readv: readv.bind(definition) }),
    ...(writev && { writev: writev.bind(definition) }),
    ...(extents && { extents: extents.bind(definition) }),
    ...(flush && { flush: flush.bind(definition) }),
    ...(trim && { trim: trim.bind(definition) }),
    ...(zero && { zero: zero.bind(definition) }),
    ...(close && { close: close.bind(definition) }),
  };
  return Object.defineProperty(disk, BRAND, { value: true });
}

/** True for what `defineDisk` gave, also that of another copy of this package. */
export function isDisk(value: unknown): value is Disk {
  return typeof value === 'object' && value !== null && (value as { [BRAND]?: unknown })[BRAND] === true;
}
