/**
 * Rate limits of a disk over all cores: I/Os a second, bytes a second (SPDK: struct spdk_bdev_qos).
 *
 * Time goes in slices of a millisecond. What a slice allows stands in shared words; every core takes from them, and the first to see that a slice has passed fills them
 * up. A limit allows an I/O while anything is left of the slice and may then be overdrawn by it: the debt is paid by the next slices. So an I/O larger than a slice's
 * share gets through, and the mean is right.
 *
 * Cores come late, by milliseconds where they sleep, by more on a busy machine. Who fills the words up gives what all slices since the last fill allow, if an I/O was refused in the last one: it has
 * waited for them (SPDK: bdev_channel_poll_qos). Where nothing has waited there is one slice: what is spared is not kept.
 *
 * Cores take without a lock: two may both see the last I/O of a slice and both take it. The count then is below zero by one more, and the next slice pays.
 */
import type { Clock } from '../env/clock.ts';
import { SpdkError } from '../env/errors.ts';
import type { BdevIo } from './bdev-io.ts';
import { IO_READ, IO_WRITE } from './io-type.ts';

const SLICE_US = 1000;
const SLICES_PER_SECOND = 1_000_000 / SLICE_US;
const MIB = 1024 * 1024;

/** The parameters of bdev_set_qos_limit, in their order: SPDK's enum spdk_bdev_qos_rate_limit_type. */
export const QOS_LIMITS = ['rw_ios_per_sec', 'rw_mbytes_per_sec', 'r_mbytes_per_sec', 'w_mbytes_per_sec'] as const;
/** Limits by name: I/Os, and MiB, a second; 0 is none. */
export type QosLimits = Record<(typeof QOS_LIMITS)[number], number>;
export const NO_QOS: QosLimits = { rw_ios_per_sec: 0, rw_mbytes_per_sec: 0, r_mbytes_per_sec: 0, w_mbytes_per_sec: 0 };

const RW_IOS = 0;
const RW_BYTES = 1;
const R_BYTES = 2;
const W_BYTES = 3;
const KINDS = 4;
/** I/Os a second are a multiple of this, and so is what a slice allows whole (SPDK: SPDK_BDEV_QOS_MIN_IOS_PER_SEC). */
const IOS_MIN = 1000;
/** So that a slice's bytes and a debt fit 31 bits. */
const MBYTES_MAX = 1_000_000;
const IOS_MAX = 1_000_000_000;

/** What waits is given no more slices at once than these, nor more of one kind than fits its word with a debt. */
const LATE_MAX = SLICES_PER_SECOND;
const LEFT_MAX = 2 ** 30;

// Words: the slice that was last filled up, the last one in which an I/O was refused, then what a slice allows and what is left of it, by kind.
const SLICE = 0;
const REFUSED = 1;
const ALLOWED = 2;
const LEFT = ALLOWED + KINDS;
const WORDS = LEFT + KINDS;

export function createQosState(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * 4);
}

/**
 * What is set after `change`: undefined leaves a limit as it is, 0 takes it away. I/Os a second are rounded up to whole thousands, as SPDK does.
 * @throws {SpdkError} EINVAL out of range
 */
export function changedLimits(
  before: QosLimits,
  change: Partial<Record<keyof QosLimits, number | undefined>>,
): QosLimits {
  const after = { ...before };
  for (const kind of QOS_LIMITS) {
    const value = change[kind];
    if (value === undefined) continue;
    const most = kind === 'rw_ios_per_sec' ? IOS_MAX : MBYTES_MAX;
    if (!(Number.isInteger(value) && value >= 0 && value <= most)) {
      throw new SpdkError('EINVAL', `${kind} ${value}, limit 0 (none) to ${most}`);
    }
    after[kind] = kind === 'rw_ios_per_sec' ? Math.ceil(value / IOS_MIN) * IOS_MIN : value;
  }
  return after;
}

/** Writes the limits that all cores see. App core. */
export function writeLimits(state: SharedArrayBuffer, set: QosLimits): void {
  const words = new Int32Array(state);
  Atomics.store(words, REFUSED, Atomics.load(words, SLICE) - 1);
  QOS_LIMITS.forEach((kind, i) => {
    const perSecond = kind === 'rw_ios_per_sec' ? set[kind] : set[kind] * MIB;
    const allowed = Math.floor(perSecond / SLICES_PER_SECOND);
    Atomics.store(words, ALLOWED + i, allowed);
    Atomics.store(words, LEFT + i, allowed);
  });
}

/** One core's view of a disk's limits. */
export class Qos {
  readonly #words: Int32Array;
  readonly #clock: Clock;

  constructor(state: SharedArrayBuffer, clock: Clock) {
    this.#words = new Int32Array(state);
    this.#clock = clock;
  }

  /** Takes what `io` costs; false when a limit it falls under has nothing left in this slice. Only reads and writes cost (SPDK: bdev_qos_io_to_limit). */
  take(io: BdevIo): boolean {
    const read = io.type === IO_READ;
    if (!read && io.type !== IO_WRITE) return true;
    this.#fillUp();
    const bytesKind = read ? R_BYTES : W_BYTES;
    if (this.#isSpent(RW_IOS) || this.#isSpent(RW_BYTES) || this.#isSpent(bytesKind)) {
      Atomics.store(this.#words, REFUSED, Atomics.load(this.#words, SLICE));
      return false;
    }
    this.#spend(RW_IOS, 1);
    this.#spend(RW_BYTES, io.bytes);
    this.#spend(bytesKind, io.bytes);
    return true;
  }

  /** µs until more is allowed. */
  usToNextSlice(): number {
    return SLICE_US - (this.#clock.nowUs % SLICE_US);
  }

  #isSpent(kind: number): boolean {
    const words = this.#words;
    return Atomics.load(words, ALLOWED + kind) > 0 && Atomics.load(words, LEFT + kind) <= 0;
  }

  #spend(kind: number, cost: number): void {
    if (Atomics.load(this.#words, ALLOWED + kind) > 0) Atomics.sub(this.#words, LEFT + kind, cost);
  }

  #fillUp(): void {
    const words = this.#words;
    const slice = Math.floor(this.#clock.nowUs / SLICE_US) | 0;
    const before = Atomics.load(words, SLICE);
    // Clocks of cores may differ by a little: a slice that is already past for another is no new one.
    const passed = (slice - before) | 0;
    if (passed <= 0 && passed > -SLICES_PER_SECOND) return;
    if (Atomics.compareExchange(words, SLICE, before, slice) !== before) return;
    const waited = Atomics.load(words, REFUSED) === before;
    // What is too long ago has jumped, or come round.
    const slices = Math.max(1, passed);
    for (let kind = 0; kind < KINDS; kind++) {
      const allowed = Atomics.load(words, ALLOWED + kind);
      const left = Atomics.load(words, LEFT + kind);
      const most = waited ? Math.min(LEFT_MAX, allowed * Math.min(slices, LATE_MAX)) : allowed;
      // Debts are paid, what is spared is not kept. Added, for others take at the same time.
      const next = Math.min(most, Math.min(left, 0) + allowed * slices);
      Atomics.add(words, LEFT + kind, next - left);
    }
  }
}
