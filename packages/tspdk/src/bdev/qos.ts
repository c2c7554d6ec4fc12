/**
 * Rate limits of a disk over all cores: I/Os a second, bytes a second (SPDK: struct spdk_bdev_qos).
 *
 * Time goes in slices of a millisecond. What a slice allows stands in shared words; every core takes from them, and the first to see that a slice has passed fills them
 * up. A limit allows an I/O while anything is left of the slice and may then be overdrawn by it: the debt is paid by the next slices. So an I/O larger than a slice's
 * share gets through, and the mean is right.
 *
 * Cores come late, by milliseconds where they sleep, by more on a busy machine. What slices allowed that passed while an I/O waited is there when its core comes (SPDK: bdev_channel_poll_qos), up to a second's;
 * where nothing waits, what is spared is not kept. So shared words count the gates in which something waits (gates.ts), by the limits that have refused them. Why that is right:
 *
 * - Nothing that waits loses a slice, whoever fills up: while the counts are not all 0, a fill adds up what all slices since the last one allow. All kinds, for what waits for one may need the others as much.
 * - What passed before the wait is not given. A gate waits when it was refused in a slice that stood in SLICE, and who fills up has read the counts before it moves SLICE on: what it finds waiting waits since then.
 *   Who loses the exchange tries again, as the winner's clock may be an older one. What begins to wait between the reading and the exchange begins as that slice begins.
 * - What a wait for one limit leaves of the others is not kept either: a gate that has looked, and was refused or wants no more, cuts what no gate waits for to one slice. So what is kept is from the time since a gate that waits
 *   looked last, and over any time all cores together get what its slices allow, what the latest had not yet fetched before it, and a last I/O each that overdraws.
 *   Two things may take of what is kept, never add to it: that cut, where a late gate waits for one limit and will need more than a slice's of another, which one that looks more often does not wait for; and a core that was held up between its
 *   exchange of the slice and what it then adds.
 * - Debts are paid in full: a fill adds to what is below zero, and never sets it. All is changed by what was read (an exchange that fails is done again), for others take meanwhile.
 * - A count does not stay up: a gate keeps what it has counted, and takes it back whenever its queue has become empty, however that came. Nothing else writes these words: limits that change, or go, leave them.
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

/** For what waits no more slices are kept than these, nor more of one kind than fits its word with a debt. */
const LATE_MAX = SLICES_PER_SECOND;
const LEFT_MAX = 2 ** 30;

// Words: the slice that was last filled up, then by kind what a slice allows, what is left of it, and how many gates it has refused that wait.
const SLICE = 0;
const ALLOWED = 1;
const LEFT = ALLOWED + KINDS;
const WAITING = LEFT + KINDS;
const WORDS = WAITING + KINDS;

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

  /**
   * Takes what `io` costs, and returns 0; or, when limits it falls under have nothing left in this slice, a mask of their kinds, and takes nothing. Only reads and writes cost (SPDK: bdev_qos_io_to_limit).
   */
  take(io: BdevIo): number {
    const read = io.type === IO_READ;
    if (!read && io.type !== IO_WRITE) return 0;
    this.#fillUp();
    const bytesKind = read ? R_BYTES : W_BYTES;
    const refusedBy = this.#ifSpent(RW_IOS) | this.#ifSpent(RW_BYTES) | this.#ifSpent(bytesKind);
    if (refusedBy !== 0) return refusedBy;
    this.#spend(RW_IOS, 1);
    this.#spend(RW_BYTES, io.bytes);
    this.#spend(bytesKind, io.bytes);
    return 0;
  }

  /** A gate has looked: which kinds refuse it now, a mask, and which did before. 0: nothing waits there. */
  looked(before: number, refusedBy: number): void {
    const words = this.#words;
    for (let kind = 0; kind < KINDS; kind++) {
      const change = ((refusedBy >> kind) & 1) - ((before >> kind) & 1);
      if (change !== 0) Atomics.add(words, WAITING + kind, change);
    }
    for (let kind = 0; kind < KINDS; kind++) {
      const allowed = Atomics.load(words, ALLOWED + kind);
      const left = Atomics.load(words, LEFT + kind);
      // Where somebody else takes meanwhile, the next look or fill does it.
      if (left > allowed && Atomics.load(words, WAITING + kind) === 0) {
        Atomics.compareExchange(words, LEFT + kind, left, allowed);
      }
    }
  }

  /** How many gates wait, each as often as kinds refuse it. */
  get waiting(): number {
    let count = 0;
    for (let kind = 0; kind < KINDS; kind++) count += Atomics.load(this.#words, WAITING + kind);
    return count;
  }

  /** µs until more is allowed. */
  usToNextSlice(): number {
    return SLICE_US - (this.#clock.nowUs % SLICE_US);
  }

  /** The kind's bit when nothing is left of it, else 0. */
  #ifSpent(kind: number): number {
    const words = this.#words;
    return Atomics.load(words, ALLOWED + kind) > 0 && Atomics.load(words, LEFT + kind) <= 0 ? 1 << kind : 0;
  }

  #spend(kind: number, cost: number): void {
    if (Atomics.load(this.#words, ALLOWED + kind) > 0) Atomics.sub(this.#words, LEFT + kind, cost);
  }

  #fillUp(): void {
    const words = this.#words;
    const slice = Math.floor(this.#clock.nowUs / SLICE_US) | 0;
    for (;;) {
      const before = Atomics.load(words, SLICE);
      // Clocks of cores may differ by a little: a slice that is already past for another is no new one.
      const passed = (slice - before) | 0;
      if (passed <= 0 && passed > -SLICES_PER_SECOND) return;
      const waited = this.waiting > 0;
      if (Atomics.compareExchange(words, SLICE, before, slice) !== before) continue;
      // What is too long ago has jumped, or come round.
      const slices = Math.max(1, passed);
      for (let kind = 0; kind < KINDS; kind++) this.#add(kind, slices, waited);
      return;
    }
  }

  /** What `slices` more allow. */
  #add(kind: number, slices: number, waited: boolean): void {
    const words = this.#words;
    const allowed = Atomics.load(words, ALLOWED + kind);
    if (allowed === 0) return;
    const most = waited ? Math.min(LEFT_MAX, allowed * LATE_MAX) : allowed;
    for (;;) {
      const left = Atomics.load(words, LEFT + kind);
      // Debts are paid; what is spared is kept for what waits only.
      const next = Math.min(most, (waited ? left : Math.min(left, 0)) + allowed * slices);
      if (Atomics.compareExchange(words, LEFT + kind, left, next) === left) return;
    }
  }
}
