/**
 * A bounded queue of integers that any core may push to and take from (after Dmitry Vyukov's bounded MPMC queue).
 *
 * It backs what all cores share and touch rarely: pools behind per-core caches. Nobody ever waits for another inside it but for the few
 * instructions between a winner's claim and its publish, and then the loser reports "empty" or "full" instead of waiting.
 *
 *   word 0: enqueue position   word 16: dequeue position   from word 32: cells of (sequence, value)
 *
 * Correctness: cell i starts with sequence i. A pusher at position p may claim the cell when its sequence is p (the claim is a
 * compare-and-exchange on the enqueue position), writes the value, then stores sequence p+1. A taker at p may claim when the
 * sequence is p+1, reads the value, then stores p+capacity, which is what the pusher of the next lap looks for. The value is plain
 * memory: it is written before the sequence that admits its reader is stored, and read before the one that admits its next writer.
 */
import { assert } from './errors.ts';

const ENQUEUE = 0;
const DEQUEUE = 16;
const CELLS = 32;

/** Bytes of shared memory for a ring of `capacity` integers (a power of two). */
export function sharedRingBytes(capacity: number): number {
  return (CELLS + capacity * 2) * 4;
}

/** Any core. */
export class SharedRing {
  readonly #i32: Int32Array;
  readonly #mask: number;

  /** @param fresh true for the one that makes the ring: numbers the cells. */
  constructor(buffer: SharedArrayBuffer, capacity: number, fresh: boolean) {
    assert((capacity & (capacity - 1)) === 0 && capacity > 1, `ring capacity ${capacity} is a power of two`);
    this.#i32 = new Int32Array(buffer, 0, CELLS + capacity * 2);
    this.#mask = capacity - 1;
    // Plain: nobody else has the ring yet.
    if (fresh) for (let i = 0; i < capacity; i++) this.#i32[CELLS + i * 2] = i;
  }

  /** False when the ring is full. */
  push(value: number): boolean {
    const i32 = this.#i32;
    let pos = Atomics.load(i32, ENQUEUE);
    for (;;) {
      const cell = CELLS + ((pos & this.#mask) << 1);
      const lag = (Atomics.load(i32, cell) - pos) | 0;
      if (lag < 0) return false;
      if (lag === 0) {
        const seen = Atomics.compareExchange(i32, ENQUEUE, pos, (pos + 1) | 0);
        if (seen === pos) {
          i32[cell + 1] = value;
          Atomics.store(i32, cell, (pos + 1) | 0);
          return true;
        }
        pos = seen;
      } else pos = Atomics.load(i32, ENQUEUE);
    }
  }

  /** The oldest value, or -1 when the ring is empty. */
  take(): number {
    const i32 = this.#i32;
    let pos = Atomics.load(i32, DEQUEUE);
    for (;;) {
      const cell = CELLS + ((pos & this.#mask) << 1);
      const lag = (Atomics.load(i32, cell) - pos - 1) | 0;
      if (lag < 0) return -1;
      if (lag === 0) {
        const seen = Atomics.compareExchange(i32, DEQUEUE, pos, (pos + 1) | 0);
        if (seen === pos) {
          const value = i32[cell + 1];
          Atomics.store(i32, cell, (pos + this.#mask + 1) | 0);
          return value;
        }
        pos = seen;
      } else pos = Atomics.load(i32, DEQUEUE);
    }
  }
}
