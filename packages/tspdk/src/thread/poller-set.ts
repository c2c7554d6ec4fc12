/**
 * All pollers of one thread, and the two loops that call them. Data path: the loops allocate nothing.
 *
 *   active   every turn, in order of registration        timed   a heap by due time        paused   neither
 *
 * A poller may unregister, pause or resume itself or another while a loop runs. So calls only set states; the active loop meets a state that is
 * not WAITING, notes that the list needs tidying, and tidies after its last call. A poller that is registered inside the loop
 * runs from the next turn on.
 */
import type { StallWatch } from '../env/stall-watch.ts';
import { type LockHolder, lockStillHeld } from './lock-count.ts';
import {
  POLLER_PAUSED,
  POLLER_PAUSING,
  POLLER_RUNNING,
  POLLER_UNREGISTERED,
  POLLER_WAITING,
  type Poller,
} from './poller.ts';
import { PollerHeap } from './poller-heap.ts';

/** What the set reads of the host's clock: now, also outside of a turn. */
interface Now {
  read(): number;
}

export class PollerSet {
  readonly active: Poller[] = [];
  readonly timed = new PollerHeap<Poller>();
  readonly paused: Poller[] = [];
  /** Pollers that are registered, paused ones included. */
  registered = 0;
  /** Active pollers that need every turn: their reactor must not sleep. */
  restless = 0;
  /** The active list holds pollers that are to leave it. */
  untidy = false;
  readonly #clock: Now;
  readonly #thread: LockHolder;
  #timedInCall: Poller | null = null;

  constructor(thread: LockHolder, clock: Now) {
    this.#thread = thread;
    this.#clock = clock;
  }

  /** Calls each active poller once. Returns the largest value that one returned, or 0. */
  runActive(watch: StallWatch | null = null): number {
    const active = this.active;
    const count = active.length;
    const thread = this.#thread;
    let most = 0;
    for (let i = 0; i < count; i++) {
      const poller = active[i];
      if (poller.state !== POLLER_WAITING) {
        this.#settle(poller);
        continue;
      }
      poller.state = POLLER_RUNNING;
      const rc = watch === null ? poller.fn(poller.ctx) : this.#callWatched(poller, watch);
      poller.runCount++;
      if (rc > 0) {
        poller.busyCount++;
        if (rc > most) most = rc;
      }
      if (poller.state === POLLER_RUNNING) poller.state = POLLER_WAITING;
      else this.#settle(poller);
      if (thread.lockCount !== 0) lockStillHeld(thread, `poller "${poller.name}"`);
    }
    if (this.untidy) this.#tidy();
    return most;
  }

  /** Calls each timed poller that is due at `nowUs`, earliest first. Returns the largest value that one returned, or 0. */
  runTimed(nowUs: number, watch: StallWatch | null = null): number {
    let most = 0;
    while (this.timed.nextUs <= nowUs) {
      const poller = this.timed.pop() as Poller;
      if (poller.state === POLLER_PAUSING) {
        this.#park(poller);
        continue;
      }
      poller.state = POLLER_RUNNING;
      this.#timedInCall = poller;
      const rc = watch === null ? poller.fn(poller.ctx) : this.#callWatched(poller, watch);
      this.#timedInCall = null;
      poller.runCount++;
      if (rc > 0) {
        poller.busyCount++;
        if (rc > most) most = rc;
      }
      this.#again(poller, nowUs);
      if (this.#thread.lockCount !== 0) lockStillHeld(this.#thread, `poller "${poller.name}"`);
    }
    return most;
  }

  #callWatched(poller: Poller, watch: StallWatch): number {
    const rc = poller.fn(poller.ctx);
    const ms = watch.lap();
    if (ms > 0) {
      watch.report(`poller "${poller.name}" of thread "${this.#thread.name}" (registered at ${poller.site})`, ms);
    }
    return rc;
  }

  /** A poller threw: it is called again as if it had returned 0. */
  recover(nowUs: number): void {
    for (const poller of this.active) if (poller.state === POLLER_RUNNING) poller.state = POLLER_WAITING;
    const timed = this.#timedInCall;
    this.#timedInCall = null;
    if (timed !== null) this.#again(timed, nowUs);
  }

  add(poller: Poller): void {
    this.registered++;
    this.#insert(poller);
  }

  unregister(poller: Poller): void {
    if (poller.state === POLLER_UNREGISTERED) return;
    this.registered--;
    if (poller.heapIndex >= 0) this.timed.remove(poller);
    if (poller.inActive) this.untidy = true;
    else if (poller.state === POLLER_PAUSED) this.paused.splice(this.paused.indexOf(poller), 1);
    if (poller.state !== POLLER_PAUSED && !poller.sleepable) this.restless--;
    poller.state = POLLER_UNREGISTERED;
  }

  pause(poller: Poller): void {
    if (poller.state === POLLER_RUNNING || poller.state === POLLER_WAITING) poller.state = POLLER_PAUSING;
  }

  resume(poller: Poller): void {
    if (poller.state === POLLER_PAUSING) poller.state = POLLER_WAITING;
    if (poller.state !== POLLER_PAUSED) return;
    poller.state = POLLER_WAITING;
    if (poller.inActive) {
      if (!poller.sleepable) this.restless++;
      return;
    }
    this.paused.splice(this.paused.indexOf(poller), 1);
    this.#insert(poller);
  }

  /** Every poller still registered, for messages and RPCs. */
  all(): Poller[] {
    return [...this.active, ...this.timed.sorted(), ...this.paused].filter((poller) => poller.registered);
  }

  #insert(poller: Poller): void {
    if (poller.periodUs > 0) {
      poller.nextRunUs = this.#clock.read() + poller.periodUs;
      this.timed.insert(poller);
      return;
    }
    poller.inActive = true;
    this.active.push(poller);
    if (!poller.sleepable) this.restless++;
  }

  /** An active poller was met in another state than WAITING, or came back from its call in another than RUNNING. */
  #settle(poller: Poller): void {
    if (poller.state === POLLER_WAITING) return;
    if (poller.state === POLLER_RUNNING)
      throw new Error(`poller "${poller.name}": its thread is polled inside its call`);
    this.untidy = true;
    if (poller.state !== POLLER_PAUSING) return;
    poller.state = POLLER_PAUSED;
    if (!poller.sleepable) this.restless--;
  }

  #tidy(): void {
    const active = this.active;
    let kept = 0;
    for (let i = 0; i < active.length; i++) {
      const poller = active[i];
      if (poller.state === POLLER_UNREGISTERED || poller.state === POLLER_PAUSED) {
        poller.inActive = false;
        if (poller.state === POLLER_PAUSED) this.paused.push(poller);
      } else active[kept++] = poller;
    }
    active.length = kept;
    this.untidy = false;
  }

  /** A timed poller came back from its call. */
  #again(poller: Poller, nowUs: number): void {
    if (poller.state === POLLER_UNREGISTERED) return;
    if (poller.state === POLLER_PAUSING) {
      this.#park(poller);
      return;
    }
    poller.state = POLLER_WAITING;
    poller.nextRunUs = nowUs + poller.periodUs;
    this.timed.insert(poller);
  }

  #park(poller: Poller): void {
    poller.state = POLLER_PAUSED;
    this.paused.push(poller);
  }
}
