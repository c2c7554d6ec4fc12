/**
 * Blocks of the shared heap (env/heap.ts) that a core keeps for I/Os, so that those have their turn when the heap is full: of carried I/Os, which wait for others that are carried further, or of
 * what other cores hold, as what a core has once taken stays its own. One for each rank, which is asked for only when the heap has nothing: io-rank.ts says why nothing waits for ever.
 *
 * Whoever is refused asks again, when something of its own has ended or a moment later (thread-channel.ts). The one who had the block last would always be the first to do so: it is passed over once when
 * others have asked in vain.
 */
import type { AllocSite } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import type { Heap, Ptr } from '../env/heap.ts';
import { localKey } from '../event/reactor.ts';

/** No block. */
const NONE = 0 as Ptr;

interface Kept {
  readonly ptr: Ptr;
  out: boolean;
  /** Who had it last. */
  last: unknown;
  /** Another one has asked in vain since. */
  wanted: boolean;
}

export class HeapReserve {
  readonly #heap: Heap;
  readonly #byRank = new Map<number, Kept>();
  #out = 0;

  constructor(heap: Heap) {
    this.#heap = heap;
  }

  /** From now on there is a block of `bytes` for `rank`. @throws {SpdkError} ENOMEM */
  cover(rank: number, bytes: number, site: AllocSite): void {
    if (this.#byRank.has(rank)) return;
    this.#byRank.set(rank, { ptr: this.#heap.alloc(bytes, site), out: false, last: null, wanted: false });
  }

  /** A block of the heap, or that of `rank`, whose content is whatever it was; 0: there is neither for `who` now. Data path. */
  take(bytes: number, rank: number, who: unknown, site: AllocSite): Ptr {
    try {
      return this.#heap.alloc(bytes, site);
    } catch (error) {
      if (!(error instanceof SpdkError && error.code === 'ENOMEM')) throw error;
      return this.#keptOf(rank, who);
    }
  }

  #keptOf(rank: number, who: unknown): Ptr {
    const kept = this.#byRank.get(rank);
    if (kept === undefined) return NONE;
    if (kept.out) {
      if (kept.last !== who) kept.wanted = true;
      return NONE;
    }
    const passedOver = kept.wanted && kept.last === who;
    kept.wanted = false;
    if (passedOver) return NONE;
    kept.out = true;
    kept.last = who;
    this.#out++;
    return kept.ptr;
  }

  /** Gives back what `take` gave. Data path. */
  free(ptr: Ptr): void {
    if (this.#out === 0 || !this.#putBack(ptr)) this.#heap.free(ptr);
  }

  #putBack(ptr: Ptr): boolean {
    for (const kept of this.#byRank.values()) {
      if (kept.ptr !== ptr) continue;
      kept.out = false;
      this.#out--;
      return true;
    }
    return false;
  }

  /** Every disk has gone. What is out is a leak, and the heap says so. */
  drop(): void {
    for (const { ptr, out } of this.#byRank.values()) if (!out) this.#heap.free(ptr);
    this.#byRank.clear();
    this.#out = 0;
  }
}

export const heapReserve = localKey('bdev_heap_reserve', ({ heap }) => new HeapReserve(heap));
