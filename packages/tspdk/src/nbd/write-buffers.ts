/**
 * Buffers for writes to a disk that takes whole units which no number of I/O buffers is a multiple of: the stripes of a raid5f. What such a disk is written in must lie in
 * memory as one before it can be written.
 *
 * They are one export's on one reactor, made with it. Several I/O buffers would not do in their place: a connection that holds some and waits for more beside others that do the same
 * waits for ever. A connection holds one of these at a time while it receives, so whoever waits for one waits for a client or a disk, never for another who waits. Data path.
 */
import { limits } from '../env/limits.ts';
import type { Segment } from '../env/segment.ts';
import type { BufferPort, BufferWaiterPort } from './ports.ts';

/** How many each reactor has for an export. */
export const WRITE_BUFFERS = 4;

export class WriteBuffers {
  readonly sizeBytes: number;
  readonly #free: BufferPort[] = [];
  readonly #waiting: BufferWaiterPort[] = [];

  /** Cuts WRITE_BUFFERS of `sizeBytes` out of `segment`, from `offset` on. */
  constructor(segment: Segment, offset: number, sizeBytes: number) {
    this.sizeBytes = sizeBytes;
    for (let i = 0; i < WRITE_BUFFERS; i++) this.#free.push({ segment, offset: offset + i * sizeBytes, sizeBytes });
  }

  /** None is left. */
  get dry(): boolean {
    return this.#free.length === 0;
  }

  /** A buffer, or null: then `wait`. Nobody overtakes, as one that comes back goes to who waits. */
  get(): BufferPort | null {
    return this.#free.pop() ?? null;
  }

  put(buf: BufferPort): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(buf);
    else next.onBuf(buf);
  }

  wait(waiter: BufferWaiterPort): void {
    this.#waiting.push(waiter);
  }

  /** Takes a waiter out of the queue; false when it is not in it. */
  cancelWait(waiter: BufferWaiterPort): boolean {
    const at = this.#waiting.indexOf(waiter);
    if (at >= 0) this.#waiting.splice(at, 1);
    return at >= 0;
  }
}

/** The most that one I/O buffer of `largeBytes` is used for: a power of two. */
export function pieceBytes(largeBytes: number): number {
  return Math.min(limits.nbd_piece_bytes, 2 ** Math.floor(Math.log2(largeBytes)));
}

/**
 * How much of a disk that is written in units of `unitBytes` a buffer must hold; 0: an I/O buffer, of which `usedBytes` are used at a time, holds whole units as it is.
 */
export function writeBufferBytes(unitBytes: number, usedBytes: number): number {
  return usedBytes % unitBytes === 0 ? 0 : unitBytes * Math.ceil(usedBytes / unitBytes);
}
