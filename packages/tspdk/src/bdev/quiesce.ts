/**
 * A disk, or a range of it, at rest for a while: what is under way there ends, and what comes waits until the holder lets go (SPDK: spdk_bdev_quiesce,
 * spdk_bdev_quiesce_range). Control path, over the locks of lba-lock.ts.
 *
 * It belongs to a descriptor, and ends with it at the latest: so a disk that is removed, whose owners close what they have, is never left with a range that nobody can
 * open. Closing while the range is still coming to rest lets go as soon as that is over.
 */
import { SpdkError } from '../env/errors.ts';
import type { Bdev } from './bdev.ts';
import { type LbaLock, lockRange } from './lba-lock.ts';

/** A range of a disk, in bytes. */
export interface BdevRange {
  /** A multiple of the block size. */
  readonly byteOffset: number;
  /** A positive multiple of the block size; the range ends inside the disk. */
  readonly bytes: number;
}

/** What is at rest, until `unquiesce`. */
export class Quiesced {
  readonly #lock: LbaLock;
  readonly #forget: (quiesced: Quiesced) => void;
  #lifted: Promise<void> | null = null;

  /** Made by `BdevDesc.quiesce`. */
  constructor(lock: LbaLock, forget: (quiesced: Quiesced) => void) {
    this.#lock = lock;
    this.#forget = forget;
  }

  /** I/O goes on, what has waited in the order in which it came to its channel; resolves when every core has heard of it. Twice is once (SPDK: spdk_bdev_unquiesce). */
  unquiesce(): Promise<void> {
    if (this.#lifted === null) {
      this.#forget(this);
      this.#lifted = new Promise((resolve) => this.#lock.release(resolve));
    }
    return this.#lifted;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unquiesce();
  }
}

/**
 * Resolves when the range from `start` to `end`, in bytes of the disk, is at rest on every core.
 * @throws {SpdkError} ENOMEM when the shared heap has no room
 */
export function quiesceRange(
  bdev: Bdev,
  start: number,
  end: number,
  forget: (quiesced: Quiesced) => void,
): Promise<Quiesced> {
  return new Promise((resolve, reject) => {
    const lock = lockRange(bdev, start, end - start, true, (status) => {
      if (status === 0) resolve(new Quiesced(lock, forget));
      else reject(new SpdkError('ENOMEM', `bdev "${bdev.name}" cannot be quiesced: the shared heap is full`));
    });
  });
}
