/**
 * The messages waiting for one thread: a ring of integers on the thread's own core. Data path.
 *
 * Only the core that carries the thread touches it: what other cores send arrives as events and is pushed here by their handler. So
 * there are no atomics. A message is (function id, arg1, arg2); a local one (function, context) may carry objects,
 * which sit beside the ring under the same index.
 *
 *   words   | fn id or -1 | arg1 | arg2 | unused |   four words for each place
 *   fns     | function of a local message, else null |
 *   ctxs    | its context |
 *
 * Growth: starts at 64 places and doubles when full, so a steady thread never allocates. `limits.thread_messages_max` bounds what
 * its own core may queue (`full`, checked by the sender, who gets an error). Messages that another core's send has
 * accepted, and the kit's own, are always taken: nothing is dropped.
 */
import { type EventHandler, eventFnName, eventFnSite, handlers } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import type { StallWatch } from '../env/stall-watch.ts';
import { type LockHolder, lockStillHeld } from './lock-count.ts';

/** What a local message runs. */
export type LocalFn = (ctx: unknown) => void;

const LOCAL = -1;
const FIRST_PLACES = 64;

export class MessageQueue {
  /** Messages waiting. */
  size = 0;
  #head = 0;
  #mask = FIRST_PLACES - 1;
  #words = new Int32Array(FIRST_PLACES * 4);
  #fns: (LocalFn | null)[] = new Array(FIRST_PLACES).fill(null);
  #ctxs: unknown[] = new Array(FIRST_PLACES).fill(null);

  /** Whether the thread's own core must stop sending. */
  get full(): boolean {
    return this.size >= limits.thread_messages_max;
  }

  push(fnId: number, arg1: number, arg2: number): void {
    if (this.size > this.#mask) this.#grow();
    const at = ((this.#head + this.size) & this.#mask) << 2;
    const words = this.#words;
    words[at] = fnId;
    words[at + 1] = arg1;
    words[at + 2] = arg2;
    this.size++;
  }

  pushLocal(fn: LocalFn, ctx: unknown): void {
    if (this.size > this.#mask) this.#grow();
    const place = (this.#head + this.size) & this.#mask;
    this.#words[place << 2] = LOCAL;
    this.#fns[place] = fn;
    this.#ctxs[place] = ctx;
    this.size++;
  }

  /**
   * Runs up to `max` of the messages that wait now, oldest first; what they send waits for the next call.
   * @param watch times each while a stall is looked for.
   * @returns how many ran. @throws what a message throws; it counts as run, the rest stay.
   */
  run(max: number, thread: LockHolder, watch: StallWatch | null = null): number {
    const count = this.size < max ? this.size : max;
    for (let i = 0; i < count; i++) {
      const place = this.#head;
      const at = place << 2;
      const words = this.#words;
      const fnId = words[at] as number;
      this.#head = (place + 1) & this.#mask;
      this.size--;
      if (watch !== null) this.#runWatched(fnId, place, thread, watch);
      else if (fnId === LOCAL) this.#runLocal(place);
      else (handlers[fnId] as EventHandler)(words[at + 1] as number, words[at + 2] as number, 0);
      if (thread.lockCount !== 0) lockStillHeld(thread, 'a message');
    }
    return count;
  }

  #runWatched(fnId: number, place: number, thread: LockHolder, watch: StallWatch): void {
    const local = fnId === LOCAL ? (this.#fns[place] as LocalFn).name || 'of this core' : null;
    if (local !== null) this.#runLocal(place);
    else
      (handlers[fnId] as EventHandler)(this.#words[place * 4 + 1] as number, this.#words[place * 4 + 2] as number, 0);
    const ms = watch.lap();
    const what = () => local ?? `"${eventFnName(fnId)}" (${eventFnSite(fnId)})`;
    if (ms > 0) watch.report(`message ${what()} to thread "${thread.name}"`, ms);
  }

  #runLocal(place: number): void {
    const fn = this.#fns[place] as LocalFn;
    const ctx = this.#ctxs[place];
    this.#fns[place] = null;
    this.#ctxs[place] = null;
    fn(ctx);
  }

  #grow(): void {
    const places = this.#mask + 1;
    const words = new Int32Array(places * 8);
    const fns: (LocalFn | null)[] = new Array(places * 2).fill(null);
    const ctxs: unknown[] = new Array(places * 2).fill(null);
    for (let i = 0; i < this.size; i++) {
      const from = (this.#head + i) & this.#mask;
      words.set(this.#words.subarray(from << 2, (from << 2) + 4), i << 2);
      fns[i] = this.#fns[from] as LocalFn | null;
      ctxs[i] = this.#ctxs[from];
    }
    this.#words = words;
    this.#fns = fns;
    this.#ctxs = ctxs;
    this.#head = 0;
    this.#mask = places * 2 - 1;
  }
}
