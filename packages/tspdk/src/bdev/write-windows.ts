/**
 * Ranges of a disk's own memory that users of one channel are writing to in place: from a `zcopy` for writing to its `zcopyWritten`. No BdevIo stands for such a write, so a lock
 * of a range asks here (lba-lock.ts). Data path: a few at a time, in arrays that grow.
 */
const FIRST = 8;

export class WriteWindows {
  count = 0;
  #start = new Float64Array(FIRST);
  #end = new Float64Array(FIRST);

  open(byteOffset: number, bytes: number): void {
    if (this.count === this.#start.length) this.#grow();
    this.#start[this.count] = byteOffset;
    this.#end[this.count] = byteOffset + bytes;
    this.count++;
  }

  /** Closes one that began at `byteOffset`; false when there is none. Which of several is not said, so it is the shortest: the last bytes are closed when all of them are. */
  close(byteOffset: number): boolean {
    let found = -1;
    for (let i = 0; i < this.count; i++) {
      if (this.#start[i] === byteOffset && (found < 0 || this.#end[i] < this.#end[found])) found = i;
    }
    if (found < 0) return false;
    this.count--;
    this.#start[found] = this.#start[this.count];
    this.#end[found] = this.#end[this.count];
    return true;
  }

  /** True when one has a byte in [start, end). */
  overlap(start: number, end: number): boolean {
    for (let i = 0; i < this.count; i++) if (this.#start[i] < end && start < this.#end[i]) return true;
    return false;
  }

  #grow(): void {
    const [start, end] = [this.#start, this.#end];
    this.#start = new Float64Array(2 * start.length);
    this.#end = new Float64Array(2 * end.length);
    this.#start.set(start);
    this.#end.set(end);
  }
}
