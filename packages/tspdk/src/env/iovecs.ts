/**
 * A list of pieces of I/O memory, as iovec is to C: reused, of fixed capacity, never allocated per I/O.
 */
import { SpdkError } from './errors.ts';
import type { Segment } from './segment.ts';

/** Pieces `[0, count)`: `bytes[i]` bytes at `offset[i]` of `segment[i]`. */
export class IoVecs {
  readonly capacity: number;
  readonly segment: (Segment | null)[];
  readonly offset: number[];
  readonly bytes: number[];
  count = 0;
  /** Sum of `bytes`. */
  totalBytes = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.segment = new Array<Segment | null>(capacity).fill(null);
    this.offset = doubles(capacity);
    this.bytes = doubles(capacity);
  }

  /** True when no piece more fits. */
  get full(): boolean {
    return this.count === this.capacity;
  }

  /** Appends a piece. @throws {SpdkError} ENOSPC when full: the caller asks `full` first. */
  push(segment: Segment, offset: number, bytes: number): void {
    const i = this.count;
    if (i === this.capacity) throw new SpdkError('ENOSPC', `I/O vector of ${this.capacity} pieces is full`);
    this.segment[i] = segment;
    this.offset[i] = offset;
    this.bytes[i] = bytes;
    this.count = i + 1;
    this.totalBytes += bytes;
  }

  /** Drops all pieces but the first `count`. */
  truncate(count: number): void {
    while (this.count > count) {
      this.count--;
      this.totalBytes -= this.bytes[this.count];
      this.segment[this.count] = null;
    }
  }

  /** Empties the list; the segments are let go. */
  reset(): void {
    for (let i = 0; i < this.count; i++) this.segment[i] = null;
    this.count = 0;
    this.totalBytes = 0;
  }
}

/**
 * Numbers that V8 keeps as doubles, one after the other, behind one short header. A Float64Array of a few is three objects, and a list in use for each I/O under way then fills the
 * processor's first cache.
 */
function doubles(count: number): number[] {
  return new Array<number>(count).fill(0.5).fill(0);
}
