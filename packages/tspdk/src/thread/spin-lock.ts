/**
 * SpinLock: for the rare state that two cores must change in place. A word in shared memory; any thread of any core may use it.
 *
 * The kit has no locks on its data path; this is here for modules that come from SPDK (spdk_spin_*), with SPDK's rules, always on. Each misuse
 * is an ESPIN of its own: not initialised, destroyed, outside of any thread, locked twice, unlocked by another thread,
 * destroyed while held, and a message or poller that returns with a lock held (lock-count.ts).
 *
 *   word 0: 'SPIN' when initialised, 'GONE' when destroyed    word 1: id of the holder, 0 when free    word 2: cores asleep over it    word 3: -
 *
 * The holder's id is the lock: taken by compare-and-exchange from 0, given back by a store of 0. Ids are never reused, so "it is mine" cannot
 * be said by mistake. Both are sequentially consistent: what one holder wrote, the next one sees.
 *
 * Waiting. A holder never goes off its core with a lock, so it is soon done, if it is running: first we spin, some ten microseconds. If it is not
 * running, the system has put another program, or us, in its place (more reactors than processors, a container's quota), and spinning keeps it
 * away. So then we sleep, at most 1 ms at a time, in Atomics.wait. That blocks a reactor, which nothing else here does; but spinning
 * would block it as well, and for longer. No wake-up is lost: a waiter counts itself, then looks at the holder; an unlock clears the holder,
 * then looks at the count. A wait that reaches limits.spin_lock_wait_ms is a deadlock between cores: ESPIN, naming the holder.
 */
import { SpdkError } from '../env/errors.ts';
import type { Ptr } from '../env/heap.ts';
import { limits } from '../env/limits.ts';
import { sanitizer } from '../env/sanitizer.ts';
import { currentThread, type Thread } from './thread.ts';

const INITIALISED = 0x5350494e;
const DESTROYED = 0x474f4e45;
const SLEEP_MS = 1;

export interface SpinLockOptions {
  /** Longest wait for another core. Default limits.spin_lock_wait_ms. */
  readonly waitMs?: number;
}

/** One core's view of a lock: make one on each core from the same pointer. */
export class SpinLock {
  /** Bytes that a lock takes, in a block of its own or inside another struct. */
  static readonly bytes = 16;
  readonly ptr: Ptr;
  readonly #i32: Int32Array;
  readonly #word: number;
  readonly #waitMs: number;

  /** @param ptr 16 bytes of shared memory that `memory` views, zeroed before the first `init`. */
  constructor(memory: { readonly i32: Int32Array }, ptr: Ptr, options: SpinLockOptions = {}) {
    this.ptr = ptr;
    this.#i32 = memory.i32;
    this.#word = ptr >>> 2;
    this.#waitMs = options.waitMs ?? limits.spin_lock_wait_ms;
  }

  /** Makes it a lock (spdk_spin_init). Once, on one core, before the others know it. @throws {SpdkError} ESPIN when it is one already. */
  init(): void {
    if (this.#i32[this.#word] === INITIALISED) throw this.#misuse('it is already initialised');
    this.#i32.fill(0, this.#word, this.#word + 4);
    // Plain, as what is before it: nobody else knows the lock yet, and how they come to know it makes the order.
    this.#i32[this.#word] = INITIALISED;
    if (sanitizer !== null) sanitizer.lockCreated(this.#i32, this.#word, `spin lock ${this.ptr}`);
  }

  /** Ends it (spdk_spin_destroy). @throws {SpdkError} ESPIN when it is held, destroyed already, or never was one. */
  destroy(): void {
    this.#check();
    const holder = Atomics.load(this.#i32, this.#word + 1);
    if (holder !== 0) throw this.#misuse(`it is destroyed while thread ${holder} holds it`);
    if (sanitizer !== null) sanitizer.lockDestroyed(this.#i32, this.#word);
    Atomics.store(this.#i32, this.#word, DESTROYED);
  }

  /** Takes the lock, waiting for another core if need be (spdk_spin_lock). @throws {SpdkError} ESPIN for each misuse. */
  lock(): void {
    this.#check();
    const thread = this.#thread();
    if (Atomics.compareExchange(this.#i32, this.#word + 1, 0, thread.id) !== 0) this.#wait(thread);
    if (sanitizer !== null) {
      sanitizer.lockAcquiring(this.#i32, this.#word);
      sanitizer.lockAcquired(this.#i32, this.#word);
    }
    thread.lockCount++;
  }

  /** Takes the lock if it is free. Returns whether it did. @throws {SpdkError} as lock, but for a wait that is too long. */
  tryLock(): boolean {
    this.#check();
    const thread = this.#thread();
    const holder = Atomics.compareExchange(this.#i32, this.#word + 1, 0, thread.id);
    if (holder === thread.id)
      throw this.#misuse(`thread ${thread.name}:${thread.id} locks it again: that would deadlock`);
    if (holder !== 0) return false;
    if (sanitizer !== null) sanitizer.lockAcquired(this.#i32, this.#word);
    thread.lockCount++;
    return true;
  }

  /** Gives the lock back (spdk_spin_unlock). @throws {SpdkError} ESPIN when another thread holds it, or nobody. */
  unlock(): void {
    this.#check();
    const thread = this.#thread();
    const holder = Atomics.load(this.#i32, this.#word + 1);
    if (holder !== thread.id) {
      const who = holder === 0 ? 'nobody holds it' : `thread ${holder} holds it`;
      throw this.#misuse(`thread ${thread.name}:${thread.id} unlocks it, but ${who}`);
    }
    if (thread.lockCount <= 0)
      throw this.#misuse(`thread ${thread.name} holds it with a lock count of ${thread.lockCount}`);
    thread.lockCount--;
    if (sanitizer !== null) sanitizer.lockReleasing(this.#i32, this.#word);
    Atomics.store(this.#i32, this.#word + 1, 0);
    if (Atomics.load(this.#i32, this.#word + 2) !== 0) Atomics.notify(this.#i32, this.#word + 1, 1);
  }

  /** Whether the running thread holds it (spdk_spin_held). @throws {SpdkError} ESPIN outside of any thread. */
  held(): boolean {
    return Atomics.load(this.#i32, this.#word + 1) === this.#thread().id;
  }

  #check(): void {
    const state = Atomics.load(this.#i32, this.#word);
    if (state === INITIALISED) return;
    throw this.#misuse(state === DESTROYED ? 'it has been destroyed' : 'it has not been initialised');
  }

  #thread(): Thread {
    const thread = currentThread();
    if (thread === null) throw this.#misuse('it is used outside of any thread');
    return thread;
  }

  #wait(thread: Thread): void {
    const i32 = this.#i32;
    const at = this.#word + 1;
    const holder = Atomics.load(i32, at);
    if (holder === thread.id)
      throw this.#misuse(`thread ${thread.name}:${thread.id} locks it again: that would deadlock`);
    if (holder !== 0 && thread.host.shared.core(holder) === thread.core) {
      throw this.#misuse(
        `thread ${holder} of the same core ${thread.core} went off its core holding it: that would deadlock`,
      );
    }
    for (let look = 0; look < limits.spin_lock_looks; look++) {
      if (Atomics.load(i32, at) === 0 && Atomics.compareExchange(i32, at, 0, thread.id) === 0) return;
    }
    this.#sleep(thread);
  }

  #sleep(thread: Thread): void {
    const i32 = this.#i32;
    const at = this.#word + 1;
    const lastMs = performance.now() + this.#waitMs;
    Atomics.add(i32, this.#word + 2, 1);
    try {
      for (;;) {
        const holder = Atomics.compareExchange(i32, at, 0, thread.id);
        if (holder === 0) return;
        if (performance.now() >= lastMs) {
          throw this.#misuse(`thread ${holder} has held it for ${this.#waitMs} ms: deadlock between cores?`);
        }
        Atomics.wait(i32, at, holder, SLEEP_MS);
      }
    } finally {
      Atomics.sub(i32, this.#word + 2, 1);
    }
  }

  #misuse(what: string): SpdkError {
    return new SpdkError('ESPIN', `spin lock ${this.ptr}: ${what}`);
  }
}
