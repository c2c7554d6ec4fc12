/**
 * What of a range holds data: a list of extents, reused, of fixed capacity (NBD block status, seek hole and data).
 */
/** There is no storage behind it; reading gives zeroes. Bits as NBD's base:allocation. */
export const EXTENT_HOLE = 1;
/** It reads as zeroes. */
export const EXTENT_ZERO = 2;

/** Extents `[0, count)`, in order and without gaps, from the offset that was asked for. */
export class Extents {
  readonly capacity: number;
  readonly bytes: Float64Array;
  readonly flags: Int32Array;
  count = 0;
  totalBytes = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.bytes = new Float64Array(capacity);
    this.flags = new Int32Array(capacity);
  }

  reset(): void {
    this.count = 0;
    this.totalBytes = 0;
  }

  /** Appends; one more of the same kind becomes part of the last. False, and nothing appended, when there is no room. */
  push(bytes: number, flags: number): boolean {
    const last = this.count - 1;
    if (last >= 0 && this.flags[last] === flags) {
      this.bytes[last] += bytes;
    } else {
      if (this.count === this.capacity) return false;
      this.bytes[this.count] = bytes;
      this.flags[this.count] = flags;
      this.count++;
    }
    this.totalBytes += bytes;
    return true;
  }
}
