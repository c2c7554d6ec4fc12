/**
 * The threads of all cores, in shared memory: so that any core can name a thread, find it, and see that it is gone.
 *
 *   head (16 words)  tickets given | threads alive | next core | app thread | ...
 *   slot (104 words) state | id | core | bound | critical fn + 1 | name bytes | name (63 words) | cpumask (32 words) | pad
 *
 * An id is a ticket: `Atomics.add` on the first head word, plus one. Ids therefore start at 1, ascend in order of creation, and
 * never come back (SPDK's rule; when they are used up, creation is refused). A thread lives in slot `(id - 1) % slots`; a ticket
 * whose slot is taken is thrown away and the next is drawn.
 *
 * Why this is right:
 * - *One owner a slot.* A slot goes FREE -> CREATING by compare-and-exchange, so one creator gets it. It alone writes the fields,
 *   and publishes by storing the id last. Afterwards the thread's own core alone writes, until it stores id 0, then state FREE.
 * - *A stale id is seen.* Ids never recur, so when a reader finds its id in the slot both before and after it read a field, the
 *   slot was that thread's all along and the field is the thread's. Otherwise the thread is gone. All accesses are Atomics, which
 *   are sequentially consistent, those to name and mask too (word by word): plain ones could be moved past the look that guards them.
 * - *Nothing blocks.* No reader waits for a writer; a creator that dies between CREATING and its id loses one slot.
 */
import { Cpuset } from '../env/cpuset.ts';
import { assert, SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';

/** State of a slot. */
export const SLOT_FREE = 0;
/** Allocated by a creator, not yet adopted by its core. */
export const SLOT_CREATING = 1;
export const SLOT_RUNNING = 2;
/** On its way out; still takes messages. */
export const SLOT_EXITING = 3;
/** Has nothing left; takes no message from another core any more. */
export const SLOT_CLOSED = 4;

const HEAD_WORDS = 16;
const TICKETS = 0;
const ALIVE = 1;
const NEXT_CORE = 2;
const APP_THREAD = 3;

const STATE = 0;
const ID = 1;
const CORE = 2;
const BOUND = 3;
const CRITICAL = 4;
const NAME_BYTES = 5;
const NAME = 6;
const MASK = NAME + limits.name_bytes / 4;
const MASK_WORDS = limits.cores_max / 32;
const SLOT_WORDS = 104;
const ID_MAX = 0x7fff_fffe;

/** What a thread is called and where it may run. */
export interface ThreadFacts {
  readonly id: number;
  readonly name: string;
  readonly core: number;
  readonly cpumask: Cpuset;
  readonly bound: boolean;
}

/** One table per application; every core has its own view of the same buffer. */
export class SharedThreadTable {
  readonly buffer: SharedArrayBuffer;
  /** Number of slots; a power of two. */
  readonly slots: number;
  /** The table's words: `Thread` reads its critical message here. */
  readonly words: Int32Array;

  /** @param buffer another core's table, to share. */
  constructor(buffer?: SharedArrayBuffer, slots: number = limits.threads_max) {
    assert(slots > 0 && (slots & (slots - 1)) === 0, `threads_max ${slots} is a power of two`);
    this.buffer = buffer ?? new SharedArrayBuffer((HEAD_WORDS + slots * SLOT_WORDS) * 4);
    this.words = new Int32Array(this.buffer);
    this.slots = Math.floor((this.words.length - HEAD_WORDS) / SLOT_WORDS);
  }

  /**
   * Takes a slot and publishes a thread in state CREATING. Any core.
   * @param name empty means "thread_ID".
   * @throws {SpdkError} ENOSPC when every slot is taken or the ids are used up; ENAMETOOLONG.
   */
  allocate(name: string, core: number, cpumask: Cpuset): number {
    checkName('thread', name);
    // Reserved before a slot is looked for: whoever gets past this finds a free one.
    if (Atomics.add(this.words, ALIVE, 1) >= this.slots) {
      Atomics.sub(this.words, ALIVE, 1);
      throw new SpdkError('ENOSPC', `thread "${name}": all ${this.slots} places are taken`);
    }
    for (;;) {
      if (Atomics.load(this.words, TICKETS) >= ID_MAX) {
        Atomics.sub(this.words, ALIVE, 1);
        throw new SpdkError(
          'ENOSPC',
          `thread "${name}": all ${ID_MAX} thread ids are used up, restart the application`,
        );
      }
      const id = Atomics.add(this.words, TICKETS, 1) + 1;
      const at = this.#at(id);
      if (Atomics.compareExchange(this.words, at + STATE, SLOT_FREE, SLOT_CREATING) !== SLOT_FREE) continue;
      Atomics.store(this.words, at + CORE, core);
      Atomics.store(this.words, at + BOUND, 0);
      Atomics.store(this.words, at + CRITICAL, 0);
      this.#storeName(at, name === '' ? `thread_${id}` : name);
      this.#storeMask(at, cpumask);
      Atomics.compareExchange(this.words, APP_THREAD, 0, id);
      Atomics.store(this.words, at + ID, id);
      return id;
    }
  }

  /** Gives the slot back: the id means nothing from now on. The thread's own core (its creator, when adoption failed). */
  free(id: number): void {
    const at = this.#own(id);
    Atomics.store(this.words, at + ID, 0);
    Atomics.store(this.words, at + STATE, SLOT_FREE);
    Atomics.sub(this.words, ALIVE, 1);
  }

  /** Moves the thread on. Its own core only. */
  setState(id: number, state: number): void {
    Atomics.store(this.words, this.#own(id) + STATE, state);
  }

  /** State of the slot, SLOT_FREE when no such thread is alive. Any core; no allocation. */
  state(id: number): number {
    if (!(id > 0)) return SLOT_FREE;
    const at = this.#at(id);
    if (Atomics.load(this.words, at + ID) !== id) return SLOT_FREE;
    const state = Atomics.load(this.words, at + STATE);
    return Atomics.load(this.words, at + ID) === id ? state : SLOT_FREE;
  }

  /** The core that carries the thread; -1 when no such thread is alive. Any core; no allocation. */
  core(id: number): number {
    if (!(id > 0)) return -1;
    const at = this.#at(id);
    if (Atomics.load(this.words, at + ID) !== id) return -1;
    const core = Atomics.load(this.words, at + CORE);
    return Atomics.load(this.words, at + ID) === id ? core : -1;
  }

  /** The id that lives in the slot, 0 when none. */
  idAt(slot: number): number {
    return Atomics.load(this.words, HEAD_WORDS + slot * SLOT_WORDS + ID);
  }

  /** Everything about a thread, or null when it is gone. Any core. */
  facts(id: number): ThreadFacts | null {
    if (!(id > 0)) return null;
    const at = this.#at(id);
    if (Atomics.load(this.words, at + ID) !== id) return null;
    const core = Atomics.load(this.words, at + CORE);
    const bound = Atomics.load(this.words, at + BOUND) === 1;
    const bytes = Math.min(Atomics.load(this.words, at + NAME_BYTES), limits.name_bytes);
    const encoded = this.#loadWords(at + NAME, limits.name_bytes / 4);
    const name = new TextDecoder().decode(new Uint8Array(encoded.buffer, 0, bytes));
    const cpumask = Cpuset.fromWords(this.#loadWords(at + MASK, MASK_WORDS));
    return Atomics.load(this.words, at + ID) === id ? { id, name, core, cpumask, bound } : null;
  }

  /** Ids of all threads alive, ascending: the order of their creation. */
  ids(): number[] {
    const ids: number[] = [];
    for (let slot = 0; slot < this.slots; slot++) {
      const id = this.idAt(slot);
      if (id !== 0) ids.push(id);
    }
    return ids.sort((a, b) => a - b);
  }

  /** The first thread created after `id` that is CREATING or RUNNING; 0 when there is none. Any core; no allocation. */
  nextAlive(id: number): number {
    let next = 0;
    for (let slot = 0; slot < this.slots; slot++) {
      const other = this.idAt(slot);
      if (other <= id || (next !== 0 && other >= next)) continue;
      const state = this.state(other);
      if (state === SLOT_CREATING || state === SLOT_RUNNING) next = other;
    }
    return next;
  }

  /** Threads alive (spdk_thread_get_count). */
  get count(): number {
    return Atomics.load(this.words, ALIVE);
  }

  /** Id of the first thread ever created, the app thread (spdk_thread_get_app_thread); 0 before that. */
  get appThread(): number {
    return Atomics.load(this.words, APP_THREAD);
  }

  /** The thread's own core only. */
  setBound(id: number, bound: boolean): void {
    Atomics.store(this.words, this.#own(id) + BOUND, bound ? 1 : 0);
  }

  /** The thread's own core only. A reader on another core may see a mask that is half the old one: masks are advice. */
  setCpumask(id: number, cpumask: Cpuset): void {
    this.#storeMask(this.#own(id), cpumask);
  }

  /** Index of the word of the thread's critical message: 0, or the function's id + 1. */
  criticalWord(id: number): number {
    return this.#at(id) + CRITICAL;
  }

  /** A number that goes round: whose turn it is to get a new thread (SPDK's g_next_core). */
  nextCoreTurn(): number {
    return Atomics.add(this.words, NEXT_CORE, 1) >>> 0;
  }

  #at(id: number): number {
    return HEAD_WORDS + ((id - 1) & (this.slots - 1)) * SLOT_WORDS;
  }

  #own(id: number): number {
    const at = this.#at(id);
    assert(Atomics.load(this.words, at + ID) === id, `thread ${id} is in the table`);
    return at;
  }

  #storeName(at: number, name: string): void {
    const words = new Int32Array(limits.name_bytes / 4);
    const { written } = new TextEncoder().encodeInto(name, new Uint8Array(words.buffer));
    Atomics.store(this.words, at + NAME_BYTES, written);
    this.#storeWords(at + NAME, words);
  }

  #storeMask(at: number, cpumask: Cpuset): void {
    const words = new Int32Array(MASK_WORDS);
    cpumask.writeWords(words, 0);
    this.#storeWords(at + MASK, words);
  }

  #storeWords(at: number, words: Int32Array): void {
    for (let i = 0; i < words.length; i++) Atomics.store(this.words, at + i, words[i] as number);
  }

  #loadWords(at: number, count: number): Int32Array<ArrayBuffer> {
    const words = new Int32Array(count);
    for (let i = 0; i < count; i++) words[i] = Atomics.load(this.words, at + i);
    return words;
  }
}

/** @throws {SpdkError} ENAMETOOLONG past limits.name_bytes bytes of UTF-8. */
export function checkName(what: string, name: string): void {
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > limits.name_bytes) {
    throw new SpdkError(
      'ENAMETOOLONG',
      `${what} name of ${bytes} bytes ("${name.slice(0, 40)}..."), limit ${limits.name_bytes}`,
    );
  }
}
