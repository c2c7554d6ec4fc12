/**
 * The few words of a disk that all cores see: is it going, who claims it, how often is it open. Opening and claiming are control, rare
 * and allowed from any core, so the words are kept by Atomics and need no messages.
 */
import { SpdkError } from '../env/errors.ts';

const STATE = 0;
/** What is claimed (bits 0 to 3), by how many (4 to 15), and the number of the claim (16 to 30). */
const CLAIM = 1;
const DESCS = 2;
const WRITERS = 3;
/** Of the writers, those that have no claim. */
const STRANGERS = 4;
/** A claim's numbers, given in turn. */
const CLAIM_IDS = 5;
/** The key of CLAIM_READ_MANY_WRITE_SHARED, two words. */
const KEY = 6;
const WORDS = 8;

const TYPE_MASK = 0xf;
const COUNT_SHIFT = 4;
const COUNT_ONE = 1 << COUNT_SHIFT;
const COUNT_MASK = 0xfff;
const ID_SHIFT = 16;
const ID_MASK = 0x7fff;

/** Not every core has it yet. */
export const BDEV_ATTACHING = 0;
export const BDEV_READY = 1;
/** Asked to go; waits for descriptors to close. */
export const BDEV_REMOVING = 2;

/** Who may write: SPDK's enum spdk_bdev_claim_type. */
export const CLAIM_NONE = 0;
/** One writer; those that had it open for writing keep it. */
export const CLAIM_EXCL_WRITE = 1;
/** One writer, who must find no other; any number of readers. */
export const CLAIM_READ_MANY_WRITE_ONE = 2;
/** Nobody writes; may be claimed any number of times. */
export const CLAIM_READ_MANY_WRITE_NONE = 3;
/** Those that claim with the same key write. */
export const CLAIM_READ_MANY_WRITE_SHARED = 4;
export const CLAIM_NAMES: readonly string[] = [
  'not_claimed',
  'exclusive_write',
  'read_many_write_one',
  'read_many_write_none',
  'read_many_write_shared',
];

/** A claim, as the claimant's other cores show it to open the disk for writing. */
export interface BdevClaim {
  readonly type: number;
  readonly id: number;
}

export function createSharedState(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * 4);
}

/**
 * Any core; claims are made on the app core only.
 *
 * Opening for writing on one core and claiming on another: the opener counts itself in and then looks at the claim, the claimant writes the claim and then looks at the
 * count. Atomics are sequentially consistent, so at least one of the two sees the other and steps back.
 */
export class SharedState {
  readonly #words: Int32Array;
  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
  }

  get state(): number {
    return Atomics.load(this.#words, STATE);
  }
  /** One of CLAIM_*. */
  get claim(): number {
    return Atomics.load(this.#words, CLAIM) & TYPE_MASK;
  }
  get descs(): number {
    return Atomics.load(this.#words, DESCS);
  }
  get writers(): number {
    return Atomics.load(this.#words, WRITERS);
  }

  /** Every core has it: it can be opened, unless it is to go already. */
  attached(): void {
    Atomics.compareExchange(this.#words, STATE, BDEV_ATTACHING, BDEV_READY);
  }

  beginRemove(): void {
    Atomics.store(this.#words, STATE, BDEV_REMOVING);
  }

  /** Whether somebody who shows `claim` may write. */
  #mayWrite(claim: BdevClaim | undefined): boolean {
    const word = Atomics.load(this.#words, CLAIM);
    const type = word & TYPE_MASK;
    if (type === CLAIM_NONE) return true;
    if (claim === undefined || claim.type !== type || type === CLAIM_READ_MANY_WRITE_NONE) return false;
    return type === CLAIM_READ_MANY_WRITE_SHARED || ((word >>> ID_SHIFT) & ID_MASK) === claim.id;
  }

  /**
   * Claims, for somebody who is a writer himself when `writer`. Null when another claim or another writer is in the way. App core only.
   * `key`: of CLAIM_READ_MANY_WRITE_SHARED.
   */
  tryClaim(type: number, writer: boolean, key: bigint): BdevClaim | null {
    const words = this.#words;
    const before = Atomics.load(words, CLAIM);
    const held = before & TYPE_MASK;
    const many = type === CLAIM_READ_MANY_WRITE_NONE || type === CLAIM_READ_MANY_WRITE_SHARED;
    if (held !== CLAIM_NONE) {
      const count = (before >> COUNT_SHIFT) & COUNT_MASK;
      if (!many || held !== type || count === COUNT_MASK) return null;
      if (type === CLAIM_READ_MANY_WRITE_SHARED && this.#key !== key) return null;
    } else if (type === CLAIM_READ_MANY_WRITE_SHARED) this.#key = key;
    const id = held === CLAIM_NONE ? (Atomics.add(words, CLAIM_IDS, 1) + 1) & ID_MASK : before >>> ID_SHIFT;
    const after = held === CLAIM_NONE ? (id << ID_SHIFT) | COUNT_ONE | type : before + COUNT_ONE;
    Atomics.store(words, CLAIM, after);
    const strangers = Atomics.load(words, STRANGERS) - (writer ? 1 : 0);
    if (type !== CLAIM_EXCL_WRITE && strangers > 0) {
      Atomics.store(words, CLAIM, before);
      return null;
    }
    if (writer) Atomics.sub(words, STRANGERS, 1);
    return { type, id };
  }

  get #key(): bigint {
    return (BigInt(this.#words[KEY + 1] >>> 0) << 32n) | BigInt(this.#words[KEY] >>> 0);
  }
  set #key(key: bigint) {
    this.#words[KEY] = Number(BigInt.asIntN(32, key));
    this.#words[KEY + 1] = Number(BigInt.asIntN(32, key >> 32n));
  }

  /** Gives one claim up; its holder stays a writer if `writer`. App core only. */
  releaseClaim(writer: boolean): void {
    const word = Atomics.load(this.#words, CLAIM);
    const last = ((word >> COUNT_SHIFT) & COUNT_MASK) === 1;
    if (writer) Atomics.add(this.#words, STRANGERS, 1);
    Atomics.store(this.#words, CLAIM, last ? CLAIM_NONE : word - COUNT_ONE);
  }

  /** Counts a descriptor in. False, and nothing counted, when it may not write. */
  opened(write: boolean, claim: BdevClaim | undefined): boolean {
    const words = this.#words;
    const stranger = write && claim === undefined;
    if (stranger) Atomics.add(words, STRANGERS, 1);
    if (write && !this.#mayWrite(claim)) {
      if (stranger) Atomics.sub(words, STRANGERS, 1);
      return false;
    }
    Atomics.add(words, DESCS, 1);
    if (write) Atomics.add(words, WRITERS, 1);
    return true;
  }

  /** A reader that holds a claim became a writer. */
  promoted(): void {
    Atomics.add(this.#words, WRITERS, 1);
  }

  /** `stranger`: it wrote without a claim. @throws {SpdkError} EINVAL when it was not open. */
  closed(write: boolean, stranger: boolean): void {
    if (Atomics.sub(this.#words, DESCS, 1) <= 0) throw new SpdkError('EINVAL', 'bdev closed more often than opened');
    if (write) Atomics.sub(this.#words, WRITERS, 1);
    if (stranger) Atomics.sub(this.#words, STRANGERS, 1);
  }
}
