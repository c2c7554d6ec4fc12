/**
 * What the NBD data path needs of the layers below, as narrow as it is used.
 *
 * The socket, the I/O buffers and the block device fit these shapes as they are; tests have fakes that do. Nothing here is code.
 * All of it is called and calls back on the reactor of the connection; sizes and offsets are safe integers.
 */
import type { Extents } from '../bdev/index.ts';
import type { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import type { WriteBuffers } from './write-buffers.ts';

export interface SockPort {
  /** Whether `recv` waits for `least` bytes. */
  readonly gathers: boolean;
  /** The last receive took all that was there. */
  readonly drained: boolean;
  /**
   * One at a time. Answered by onRecv: bytes, 0 at the end of the stream, or a negative errno. `least`: rather so many than what is there; no
   * promise.
   */
  recv(segment: Segment, offset: number, bytes: number, least?: number): void;
  /** As `recv`; what comes after those bytes may go to `nextOffset` of `next`. Answered with the sum. */
  recvTwo(
    segment: Segment,
    offset: number,
    bytes: number,
    next: Segment,
    nextOffset: number,
    nextBytes: number,
    least: number,
  ): void;
  /** The receive under way shall take what is there. */
  hurry(): void;
  /** One at a time. Answered by onSent: all of it, or a negative errno. The list may not change until then. */
  send(iovs: IoVecs): void;
  /** Ends both directions. onClose comes once, when the kernel no longer touches our memory. */
  close(): void;
  readonly peer: string;
}

export interface BufferPort {
  readonly segment: Segment;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** A place in the queue for a buffer. */
export interface BufferWaiterPort {
  onBuf(buf: BufferPort): void;
  /** The pool's: next in the queue. */
  nextWaiter?: BufferWaiterPort | null;
}

export interface BufferPoolPort {
  readonly smallBytes: number;
  readonly largeBytes: number;
  getSmall(): BufferPort | null;
  getLarge(): BufferPort | null;
  put(buf: BufferPort): void;
  waitSmall(waiter: BufferWaiterPort): void;
  waitLarge(waiter: BufferWaiterPort): void;
  cancelWait(waiter: BufferWaiterPort): boolean;
}

/** status: 0 or a negative errno. */
export type IoDone = (ctx: unknown, status: number) => void;

/** A place in the queue for a bdev's request pool. */
export interface IoWaitPort {
  onReady(): void;
}

/** Calls return 0, or a negative errno and then never call back; -ENOMEM means queueIoWait and try again. */
export interface ChannelPort {
  /** Whose the next I/Os are: a Connection's id. */
  connection: number;
  read(segment: Segment, at: number, byteOffset: number, bytes: number, done: IoDone, ctx: unknown): number;
  write(segment: Segment, at: number, byteOffset: number, bytes: number, done: IoDone, ctx: unknown): number;
  unmap(byteOffset: number, bytes: number, done: IoDone, ctx: unknown): number;
  writeZeroes(byteOffset: number, bytes: number, flags: number, done: IoDone, ctx: unknown): number;
  flush(byteOffset: number, bytes: number, done: IoDone, ctx: unknown): number;
  queueIoWait(entry: IoWaitPort): void;
  /** Whether `zcopy` is worth trying just now. */
  readonly inPlace: boolean;
  /**
   * Appends the disk's own memory to `out` and is true; false, and nothing appended, when the disk is no memory or going, `out` has
   * no room, or something stands in the way for now: then `read` and `write` take any byte range.
   * To change those bytes: `write`, and `zcopyWritten` when that has been done.
   */
  zcopy(byteOffset: number, bytes: number, out: IoVecs, write: boolean): boolean;
  zcopyWritten(byteOffset: number, bytes: number): void;
  /** Appends what is allocated; less than the range when `out` is full. 0 or a negative errno. */
  blockStatus(byteOffset: number, bytes: number, out: Extents): number;
}

/** An export as one reactor's connections see it. */
export interface ExportPort {
  readonly name: string;
  readonly description: string;
  /** The present size: a resize changes it. */
  readonly sizeBytes: number;
  readonly flags: number;
  readonly minBlockBytes: number;
  readonly preferredBlockBytes: number;
  readonly blockBytes: number;
  readonly readOnly: boolean;
  /** Gone, or going: every further request gets ESHUTDOWN. */
  readonly removed: boolean;
  /** The disk's data can be reached by `zcopy`. */
  readonly memory: boolean;
  readonly canTrim: boolean;
  /** The disk takes flushes. */
  readonly canFlush: boolean;
  /** Zeroes can be written faster than data. */
  readonly fastZero: boolean;
  /** A completed write may still be volatile: FUA needs a flush. */
  readonly volatileCache: boolean;
  /** What large writes are received into; null: I/O buffers. */
  readonly writeBuffers: WriteBuffers | null;
  readonly channel: ChannelPort;
}
