/** Zeroes a long range of a memory disk, a piece a turn, so that nobody waits for it. */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { BdevManager } from '../../../bdev/manager.ts';
import type { MemoryStore } from './memory-store.ts';

/** Zeroed in one turn; a longer range goes on in the next. */
export const ZERO_BYTES_A_TURN = 1024 * 1024;

export class LongZero {
  readonly #store: MemoryStore;
  readonly #manager: BdevManager;
  readonly #io: BdevIo;
  readonly #keep: boolean;
  #at: number;
  #left: number;

  /** Completes `io` when `bytes` at `at` of the store are zeroes. */
  constructor(store: MemoryStore, manager: BdevManager, io: BdevIo, at: number, bytes: number, keep: boolean) {
    this.#store = store;
    this.#manager = manager;
    this.#io = io;
    this.#keep = keep;
    this.#at = at;
    this.#left = bytes;
  }

  retry(): void {
    const piece = Math.min(ZERO_BYTES_A_TURN, this.#left);
    this.#store.zero(this.#at, piece, this.#keep);
    this.#at += piece;
    this.#left -= piece;
    if (this.#left === 0) this.#io.complete(0);
    else this.#manager.retryAfter(0, this);
  }
}
