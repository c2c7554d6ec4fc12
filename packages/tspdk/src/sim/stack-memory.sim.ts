/**
 * The memory of one user's I/Os: a slot for each that may be under way at once, of two halves, what it reads or writes and what it compares with. Memory beside an I/O's own pieces is guarded.
 */
import assert from 'node:assert/strict';
import { IoVecs } from '../env/iovecs.ts';
import type { Random } from '../env/random.ts';
import type { Segment } from '../env/segment.ts';
import type { StackModel } from './stack-model.sim.ts';

/** What memory holds that nobody has a business with. */
const GUARD = 0xa5;
const PIECES = 6;
/** Before, between and behind pieces of memory, at most. */
const GAP = 600;

/** What an I/O may need. */
interface Sizes {
  readonly most: number;
  readonly model: StackModel;
}

/** Bytes of memory for one I/O: what it reads or writes, and what it compares with. */
export function slotBytes(sizes: Sizes): number {
  return 2 * halfBytes(sizes);
}

function halfBytes({ most, model }: Sizes): number {
  return most * model.blockBytes + PIECES * GAP + GAP;
}

export class StackMemory {
  readonly segment: Segment;
  readonly #at: number;
  readonly #half: number;
  readonly #model: StackModel;
  readonly #guard: Uint8Array;

  /** `slots` of them, from `at` on. */
  constructor(segment: Segment, at: number, slots: number, sizes: Sizes) {
    this.segment = segment;
    this.#at = at;
    this.#half = halfBytes(sizes);
    this.#model = sizes.model;
    this.#guard = new Uint8Array(2 * this.#half).fill(GUARD);
    segment.u8.fill(GUARD, at, at + slots * 2 * this.#half);
  }

  /** Memory for `bytes` in half 0 or 1 of a slot, in pieces that no block ends at. */
  layOut(random: Random, slot: number, half: number, bytes: number): IoVecs {
    const iovs = new IoVecs(PIECES);
    let at = this.#at + (2 * slot + half) * this.#half;
    let left = bytes;
    for (let more = random.pick([0, 0, 1, 2, PIECES - 1]); left > 0; more--) {
      at += random.pick([0, 1, 4, 512, random.int(GAP)]);
      const piece = more > 0 ? Math.min(left, 1 + random.int(random.pick([16, 512, 2 * left]))) : left;
      iovs.push(this.segment, at, piece);
      at += piece;
      left -= piece;
    }
    return iovs;
  }

  /** Puts blocks with `stamps` there. */
  put(iovs: IoVecs, stamps: readonly number[]): void {
    const all = this.#bytesOf(stamps);
    let at = 0;
    for (let i = 0; i < iovs.count; i++) {
      const { u8 } = iovs.segment[i] as Segment;
      u8.set(all.subarray(at, at + iovs.bytes[i]), iovs.offset[i]);
      at += iovs.bytes[i];
    }
  }

  #bytesOf(stamps: readonly number[]): Uint8Array {
    const { blockBytes } = this.#model;
    const all = new Uint8Array(stamps.length * blockBytes);
    for (const [i, stamp] of stamps.entries()) all.set(this.#model.bytesOf(stamp), i * blockBytes);
    return all;
  }

  /** Nobody has written to what was to be read. */
  checkHolds(iovs: IoVecs, stamps: readonly number[], what: string): void {
    assert.ok(Buffer.compare(gathered(iovs), this.#bytesOf(stamps)) === 0, `${what}: its memory stays as it is`);
  }

  /** Nobody has written beside the pieces, which are made like all else. */
  checkGuards(slot: number, pieces: readonly IoVecs[], what: string): void {
    const { u8 } = this.segment;
    for (const each of pieces) {
      for (let i = 0; i < each.count; i++) u8.fill(GUARD, each.offset[i], each.offset[i] + each.bytes[i]);
    }
    const at = this.#at + slot * 2 * this.#half;
    const same = Buffer.compare(u8.subarray(at, at + 2 * this.#half), this.#guard) === 0;
    assert.ok(same, `memory beside that of a ${what} is written to`);
  }
}

/** What the pieces hold, one after the other. */
export function gathered(iovs: IoVecs): Uint8Array {
  const all = new Uint8Array(iovs.totalBytes);
  let at = 0;
  for (let i = 0; i < iovs.count; i++) {
    const { u8 } = iovs.segment[i] as Segment;
    all.set(u8.subarray(iovs.offset[i], iovs.offset[i] + iovs.bytes[i]), at);
    at += iovs.bytes[i];
  }
  return all;
}
