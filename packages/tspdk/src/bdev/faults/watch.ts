/**
 * One rule on one reactor: which I/Os it strikes. Data path of a disk with rules.
 *
 * What a rule counts stands in words that all cores share, so that "the third write" is the third of all of them, and each I/O that a rule sees has a
 * number. All that is drawn for it follows from the rule's seed and that number (`drawAt`), and from nothing else: which numbers a rule strikes is the same on
 * one core or many, whatever other rules come and go. Which I/O has which number is up to the order in which I/Os come; on one core that is the order of their submission.
 *
 * A step of the disk's state is one I/O's: of two cores that have seen the same state, one compare-and-exchange succeeds, and the other I/O is not struck.
 */
import { drawAt } from '../../env/random.ts';
import type { BdevIo } from '../bdev-io.ts';
import { faultStatus } from './rule.ts';
import { FAULT_OPS, type FaultRule } from './vocabulary.ts';

/** Words of a rule. How many I/Os it has seen, 64 bits; how many it has struck; whether the app core has yet to tell of that (struck.ts). */
const SEEN = 0;
const SEEN_HIGH = 1;
export const STRUCK = 2;
export const TOLD = 3;
export const RULE_WORDS = 4;

/** Streams of a seed. */
const STRIKES = 0;
const DELAYS = 1;

/** A rule as it crosses to every reactor. */
export interface ActiveFault {
  readonly id: number;
  readonly rule: FaultRule;
  /** RULE_WORDS words. */
  readonly counters: SharedArrayBuffer;
  /** On the clock that all reactors share, µs. */
  readonly addedUs: number;
}

/** How many I/Os a rule has seen. */
export function seenBy(words: Int32Array): number {
  return (Atomics.load(words, SEEN_HIGH) >>> 0) * 0x1_0000_0000 + (Atomics.load(words, SEEN) >>> 0);
}

export class Watch {
  readonly id: number;
  readonly rule: FaultRule;
  /** What a struck I/O ends with; 0: what the disk says. */
  readonly status: number;
  readonly words: Int32Array;
  /** Number of the I/O that was struck last on this core. */
  seen = 0;
  readonly #ops: number;
  readonly #fromByte: number;
  readonly #endByte: number;
  readonly #fromUs: number;
  readonly #endUs: number;
  /** What it does shows only on memory, or a range, of more bytes than this. */
  readonly #beyondMemory: number;
  readonly #beyondRange: number;

  constructor({ id, rule, counters, addedUs }: ActiveFault, blockBytes: number) {
    this.id = id;
    this.rule = rule;
    this.status = faultStatus(rule);
    this.words = new Int32Array(counters);
    this.#ops = FAULT_OPS[rule.op];
    const ranged = rule.offset_blocks > 0 || rule.num_blocks > 0;
    // A flush of nothing and a reset are at no place.
    this.#fromByte = ranged ? rule.offset_blocks * blockBytes : Number.NEGATIVE_INFINITY;
    this.#endByte = rule.num_blocks === 0 ? Number.POSITIVE_INFINITY : this.#fromByte + rule.num_blocks * blockBytes;
    this.#fromUs = addedUs + rule.start_ms * 1000;
    this.#endUs = rule.duration_ms === 0 ? Number.POSITIVE_INFINITY : this.#fromUs + rule.duration_ms * 1000;
    this.#beyondMemory = rule.action === 'corrupt' ? rule.corrupt_offset : -1;
    this.#beyondRange = rule.action === 'torn' ? rule.torn_blocks * blockBytes : -1;
  }

  /**
   * Whether it strikes `io`, or its abort; counts, and takes the disk from `state` to the rule's next.
   * @param type IO_*: what is done, or IO_ABORT
   * @param byteOffset where it is in this disk; it may have gone on to another
   * @param depth I/Os of the channel that are with the disk
   */
  strikes(
    type: number,
    io: BdevIo,
    byteOffset: number,
    depth: number,
    nowUs: number,
    stateWord: Int32Array,
    state: number,
  ): boolean {
    const { rule, words } = this;
    if ((this.#ops & (1 << type)) === 0 || depth < rule.queue_depth) return false;
    if (byteOffset >= this.#endByte || byteOffset + io.bytes <= this.#fromByte) return false;
    if (io.bytes <= this.#beyondRange || (this.#beyondMemory >= 0 && io.iovs.totalBytes <= this.#beyondMemory)) {
      return false;
    }
    if (rule.connection !== 0 && rule.connection !== io.connection) return false;
    if (rule.state !== 0 && rule.state !== state) return false;
    if (nowUs < this.#fromUs || nowUs >= this.#endUs) return false;
    const seen = count(words);
    const past = seen - rule.skip;
    if (past < 0 || (rule.every > 1 && past % rule.every !== rule.every - 1)) return false;
    if (rule.probability < 1 && drawAt(rule.seed, STRIKES, seen) >= rule.probability) return false;
    if (!this.#takeStrike() || !this.#takeStep(stateWord, state)) return false;
    this.seen = seen;
    return true;
  }

  /** One of the strikes that it may have. */
  #takeStrike(): boolean {
    const { words } = this;
    const { count: most } = this.rule;
    if (most === 0) {
      Atomics.add(words, STRUCK, 1);
      return true;
    }
    let struck = Atomics.load(words, STRUCK);
    while (struck >>> 0 < most) {
      const found = Atomics.compareExchange(words, STRUCK, struck, struck + 1);
      if (found === struck) return true;
      struck = found;
    }
    return false;
  }

  /** The step of the disk's state that goes with it. */
  #takeStep(stateWord: Int32Array, state: number): boolean {
    const { state: from, new_state } = this.rule;
    if (new_state === 0) return true;
    if (from === 0) {
      Atomics.store(stateWord, 0, new_state);
      return true;
    }
    if (Atomics.compareExchange(stateWord, 0, state, new_state) === state) return true;
    Atomics.sub(this.words, STRUCK, 1);
    return false;
  }

  /** µs that the one struck last is delayed by. */
  delayUs(): number {
    const { distribution, delay_us, delay_max_us, seed } = this.rule;
    if (distribution === 'fixed') return delay_us;
    const drawn = drawAt(seed, DELAYS, this.seen);
    if (distribution === 'uniform') return delay_us + drawn * (delay_max_us - delay_us);
    if (distribution === 'exponential') return -Math.log(1 - drawn) * delay_us;
    return drawn < 0.01 ? delay_max_us : delay_us;
  }
}

/** Number of an I/O among those that the rule has seen. Whoever takes the last number of 32 bits carries; a number drawn on another core just then may come twice. */
function count(words: Int32Array): number {
  const low = Atomics.add(words, SEEN, 1) >>> 0;
  const high = Atomics.load(words, SEEN_HIGH) >>> 0;
  if (low === 0xffff_ffff) Atomics.add(words, SEEN_HIGH, 1);
  return high * 0x1_0000_0000 + low;
}
