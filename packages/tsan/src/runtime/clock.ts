// The vector clock of the thread that runs here. It lies in the control memory, in a row that only this thread writes, so that whoever outlives the thread
// can still learn what happened before its end. An epoch is a count of releases; `key` is the current one as shadow cells spell it.

import { type Control, Header, maxSlots } from './control.ts';
import { holderOf } from './lock.ts';

/**
 * A cell is one integer below 2^53 in one double, so that it is never half written:
 *
 *   | epoch 34 | slot 8 | tear 1 | atomic 1 | write 1 | mask 8 |
 *
 * mask: which of the 8 bytes; tear: the access may be done in parts.
 */
export const Cell = {
  write: 1 << 8,
  atomic: 1 << 9,
  tear: 1 << 10,
  slot: 1 << 11,
  epoch: 2 ** 19,
} as const;

export const learntInts = 1024;

export class Clock {
  readonly control: Control;
  readonly slot: number;
  readonly uid: number;
  /** As locks have it. */
  readonly holder: number;
  /** Where this thread's row begins in `control.clocks`. */
  readonly row: number;
  /** [0]: epoch and slot as a cell has them. Every check reads it, so it is not in shared memory. */
  readonly key = new Float64Array(1);
  /** Pairs of a sync variable and the version of it that this thread knows; those that fall together push one another out. */
  readonly learnt = new Int32Array(learntInts);
  readonly #rows: Float64Array;
  readonly #header: Int32Array;

  constructor(control: Control, slot: number, uid: number) {
    this.control = control;
    this.slot = slot;
    this.uid = uid;
    this.holder = holderOf(slot, uid);
    this.row = slot * maxSlots;
    this.#rows = control.clocks;
    this.#header = control.header;
    this.#renew();
  }

  #renew(): void {
    this.key[0] = this.#rows[this.row + this.slot]! * Cell.epoch + this.slot * Cell.slot;
  }

  get epoch(): number {
    return this.#rows[this.row + this.slot]!;
  }

  /** What follows is after everything that was released so far. */
  tick(): void {
    this.#rows[this.row + this.slot]! += 1;
    this.#renew();
  }

  /** Whether this thread knows that the slot's epoch is over. */
  knows(slot: number, epoch: number): boolean {
    return epoch <= this.#rows[this.row + slot]!;
  }

  /** Learns a clock of `count` columns that begins at `from[at]`. */
  join(from: Float64Array, at: number, count: number): void {
    const rows = this.#rows;
    const row = this.row;
    for (let slot = 0; slot < count; slot++) {
      const other = from[at + slot]!;
      if (other > rows[row + slot]!) rows[row + slot] = other;
    }
  }

  /** Learns a clock as `copy` made it. */
  learn(values: readonly number[]): void {
    for (let slot = 0; slot < values.length; slot++) {
      const at = this.row + slot;
      if (values[slot]! > this.#rows[at]!) this.#rows[at] = values[slot]!;
    }
  }

  /** The clock as a message carries it. The caller ticks. */
  copy(): number[] {
    const count = this.columns();
    const values = new Array<number>(count);
    for (let slot = 0; slot < count; slot++) values[slot] = this.#rows[this.row + slot]!;
    return values;
  }

  /** Columns that any thread has ever used. Of one that is being added, nothing is known yet. */
  columns(): number {
    return this.#header[Header.slotHigh]!;
  }

  /** Learns all that a thread has done so far: it is over, or its doings are known to lie before ours. */
  joinThread(slot: number): void {
    this.join(this.#rows, slot * maxSlots, this.columns());
  }
}
