/**
 * Events from a core to itself: a plain ring, no shared memory, no atomics.
 *
 * Doubles when it is full, up to the bound that a mailbox has together with its overflow list; past that the send throws
 * ENOMEM. It never shrinks: a reactor that once had a burst may have it again.
 */
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';

/** FIFO of four-word events. Owner's core only. */
export class SelfQueue {
  words = new Int32Array(4096);
  /** Monotonic (mod 2^32); the slot of index i starts at word `(i & mask) << 2`. */
  head = 0;
  tail = 0;
  mask = 1023;

  push(w0: number, w1: number, w2: number, w3: number): void {
    if (((this.tail - this.head) | 0) > this.mask) this.#grow();
    const words = this.words;
    const at = (this.tail & this.mask) << 2;
    words[at] = w0;
    words[at + 1] = w1;
    words[at + 2] = w2;
    words[at + 3] = w3;
    this.tail = (this.tail + 1) | 0;
  }

  /** Numbers of the functions of `count` events from index `first` on: what was taken a moment ago. Not for the data path. */
  functionsFrom(first: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.words[((first + i) & this.mask) << 2] as number);
  }

  #grow(): void {
    const count = (this.tail - this.head) | 0;
    if (count >= limits.mailbox_overflow_events) {
      throw new SpdkError('ENOMEM', `events to oneself: ${count} waiting, limit ${limits.mailbox_overflow_events}`);
    }
    const wider = new Int32Array(this.words.length * 2);
    for (let i = 0; i < count; i++) {
      const from = ((this.head + i) & this.mask) << 2;
      for (let w = 0; w < 4; w++) wider[i * 4 + w] = this.words[from + w];
    }
    this.words = wider;
    this.mask = wider.length / 4 - 1;
    this.head = 0;
    this.tail = count;
  }
}
