/**
 * The few words of a disk that all cores see: is it going, who claims it, how often is it open. Opening and claiming are control, rare
 * and allowed from any core, so the words are kept by Atomics and need no messages.
 */
import { SpdkError } from '../env/errors.ts';

const STATE = 0;
const CLAIM = 1;
const DESCS = 2;
const WRITERS = 3;

export const BDEV_READY = 0;
/** Asked to go; waits for descriptors to close. */
export const BDEV_REMOVING = 1;

/** Who may write: SPDK's enum spdk_bdev_claim_type. The others than exclusive_write come with the full block layer. */
export const CLAIM_NONE = 0;
export const CLAIM_EXCL_WRITE = 1;
export const CLAIM_NAMES: readonly string[] = ['not_claimed', 'exclusive_write'];

export function createSharedState(): SharedArrayBuffer {
  return new SharedArrayBuffer(16);
}

/** Any core. */
export class SharedState {
  readonly #words: Int32Array;
  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
  }

  get state(): number {
    return Atomics.load(this.#words, STATE);
  }
  get claim(): number {
    return Atomics.load(this.#words, CLAIM);
  }
  get descs(): number {
    return Atomics.load(this.#words, DESCS);
  }
  get writers(): number {
    return Atomics.load(this.#words, WRITERS);
  }

  /** False when somebody else has begun to remove it. */
  beginRemove(): boolean {
    return Atomics.compareExchange(this.#words, STATE, BDEV_READY, BDEV_REMOVING) === BDEV_READY;
  }

  /** False when it is claimed already. */
  tryClaim(): boolean {
    return Atomics.compareExchange(this.#words, CLAIM, CLAIM_NONE, CLAIM_EXCL_WRITE) === CLAIM_NONE;
  }

  releaseClaim(): void {
    Atomics.store(this.#words, CLAIM, CLAIM_NONE);
  }

  opened(write: boolean): void {
    Atomics.add(this.#words, DESCS, 1);
    if (write) Atomics.add(this.#words, WRITERS, 1);
  }

  /** A reader became a writer. */
  promoted(): void {
    Atomics.add(this.#words, WRITERS, 1);
  }

  /** @throws {SpdkError} EINVAL when it was not open. */
  closed(write: boolean): void {
    if (Atomics.sub(this.#words, DESCS, 1) <= 0) throw new SpdkError('EINVAL', 'bdev closed more often than opened');
    if (write) Atomics.sub(this.#words, WRITERS, 1);
  }
}
