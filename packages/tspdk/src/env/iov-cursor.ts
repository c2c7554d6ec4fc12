/**
 * A place in a list of memory pieces that moves on as a transfer makes progress. Reused; nothing is allocated.
 */
import type { IoVecs } from './iovecs.ts';
import { copyBytes, type Segment } from './segment.ts';

const NONE = new (class {
  readonly count = 0;
})() as IoVecs;

export class IovCursor {
  #iovs: IoVecs = NONE;
  /** The piece: never an empty one; the number of pieces at the end. */
  index = 0;
  /** Bytes of it that are done. */
  within = 0;

  start(iovs: IoVecs): void {
    this.#iovs = iovs;
    this.index = 0;
    this.within = 0;
    this.advance(0);
  }

  /** Lets the list go. */
  end(): void {
    this.#iovs = NONE;
  }

  /** Pieces from here on, this one included. */
  get pieces(): number {
    return this.#iovs.count - this.index;
  }

  get segment(): Segment {
    return this.#iovs.segment[this.index] as Segment;
  }

  /** Where this piece goes on. */
  get offset(): number {
    return this.#iovs.offset[this.index] + this.within;
  }

  /** What is left of this piece. */
  get bytes(): number {
    return this.#iovs.bytes[this.index] - this.within;
  }

  advance(bytes: number): void {
    this.within += bytes;
    while (this.index < this.#iovs.count && this.within >= this.#iovs.bytes[this.index]) {
      this.within -= this.#iovs.bytes[this.index];
      this.index++;
    }
  }

  /** Writes up to `max` pieces as struct iovec into `words`; their number. */
  fill(words: Int32Array, max: number): number {
    const iovs = this.#iovs;
    let n = 0;
    for (let i = this.index; i < iovs.count && n < max; i++, n++) {
      const skip = i === this.index ? this.within : 0;
      const address = (iovs.segment[i] as Segment).address + iovs.offset[i] + skip;
      const bytes = iovs.bytes[i] - skip;
      words[n * 4] = address | 0;
      words[n * 4 + 1] = (address / 4294967296) | 0;
      words[n * 4 + 2] = bytes | 0;
      words[n * 4 + 3] = (bytes / 4294967296) | 0;
    }
    return n;
  }

  /** Copies `bytes` between the pieces, from here on, and other memory; does not advance. */
  copy(toPieces: boolean, other: Segment, otherOffset: number, bytes: number): void {
    const iovs = this.#iovs;
    let skip = this.within;
    for (let i = this.index; bytes > 0; i++) {
      const piece = Math.min(bytes, iovs.bytes[i] - skip);
      const segment = iovs.segment[i] as Segment;
      if (toPieces) copyBytes(segment, iovs.offset[i] + skip, other, otherOffset, piece);
      else copyBytes(other, otherOffset, segment, iovs.offset[i] + skip, piece);
      otherOffset += piece;
      bytes -= piece;
      skip = 0;
    }
  }
}
