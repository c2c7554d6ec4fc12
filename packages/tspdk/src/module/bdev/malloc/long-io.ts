/** Long ranges of a memory disk, zeroed or copied a piece a turn, so that nobody waits for them. */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { BdevManager } from '../../../bdev/manager.ts';
import type { AllocationMap } from './allocation-map.ts';
import type { MemoryStore } from './memory-store.ts';

/** Done in one turn; a longer range goes on in the next. */
export const BYTES_A_TURN = 1024 * 1024;

abstract class LongIo {
  protected readonly store: MemoryStore;
  readonly #manager: BdevManager;
  readonly #io: BdevIo;
  readonly #bytes: number;
  #done = 0;

  /** Completes `io` when `bytes` are done. */
  constructor(store: MemoryStore, manager: BdevManager, io: BdevIo, bytes: number) {
    this.store = store;
    this.#manager = manager;
    this.#io = io;
    this.#bytes = bytes;
  }

  /** The `bytes` from byte `from` of the range on. */
  protected abstract piece(from: number, bytes: number): void;

  /** Begins, and goes on. */
  retry(): void {
    const bytes = Math.min(BYTES_A_TURN, this.#bytes - this.#done);
    this.piece(this.#done, bytes);
    this.#done += bytes;
    if (this.#done === this.#bytes) this.#io.complete(0);
    else this.#manager.retryAfter(0, this);
  }
}

export class LongZero extends LongIo {
  readonly #at: number;
  readonly #keep: boolean;

  /** Zeroes `bytes` at `at` of the store; `keep`: their memory stays taken. */
  constructor(store: MemoryStore, manager: BdevManager, io: BdevIo, at: number, bytes: number, keep: boolean) {
    super(store, manager, io, bytes);
    this.#at = at;
    this.#keep = keep;
  }

  protected piece(from: number, bytes: number): void {
    this.store.zero(this.#at + from, bytes, this.#keep);
  }
}

export class LongCopy extends LongIo {
  readonly #to: number;
  readonly #from: number;
  readonly #map: AllocationMap;

  /** Copies what the copy `io` asks for, and says in `map` that it is there. */
  constructor(store: MemoryStore, map: AllocationMap, manager: BdevManager, io: BdevIo) {
    super(store, manager, io, io.bytes);
    this.#map = map;
    this.#to = io.byteOffset;
    this.#from = io.sourceOffset;
  }

  protected piece(from: number, bytes: number): void {
    this.store.copyWithin(this.#to + from, this.#from + from, bytes);
    this.#map.set(this.#to + from, bytes);
  }
}
