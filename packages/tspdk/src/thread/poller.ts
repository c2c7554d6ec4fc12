/**
 * Poller: a function that its thread calls again and again, every turn or every so many microseconds. Control path;
 * poller-set.ts runs them.
 *
 * SPDK's contract (spdk_poller_*): it may be paused, resumed and unregistered from its own call, from another poller's, from a
 * message. A pause takes effect when the poller would have run next. All calls belong to the poller's thread.
 */
import { callerOf } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import type { Due } from './poller-heap.ts';
import type { PollerSet } from './poller-set.ts';
import { checkName } from './shared-thread-table.ts';
import { checkThread, type OwnerThread } from './wrong-thread.ts';

/** Registered, not in its call. */
export const POLLER_WAITING = 0;
/** In its call. */
export const POLLER_RUNNING = 1;
/** Never called again. */
export const POLLER_UNREGISTERED = 2;
/** Paused when it would run next. */
export const POLLER_PAUSING = 3;
export const POLLER_PAUSED = 4;

const STATE_NAMES = ['waiting', 'running', 'unregistered', 'pausing', 'paused'] as const;
/** SPDK's words (spdk_poller_get_state_str), as RPCs print them. */
export type PollerStateName = (typeof STATE_NAMES)[number];

/** Returns > 0 when it did something, 0 when there was nothing to do, < 0 when it has given up (counts as idle). */
export type PollerFn<C> = (ctx: C) => number;

/** What is called, and how often. */
export interface PollerOptions<C = undefined> {
  /** At most limits.name_bytes bytes; default: the function's name. */
  readonly name?: string;
  readonly fn: PollerFn<C>;
  /** Passed to `fn`. */
  readonly ctx?: C;
  /** Whole microseconds between calls; 0, the default, is every turn. */
  readonly periodUs?: number;
  /**
   * An active poller keeps its reactor awake, unless this says that it may sleep: whatever the poller looks at wakes the reactor by itself
   * (a ring completion, an event, a timed poller). SPDK: spdk_poller_register_interrupt. No meaning for timed pollers.
   */
  readonly sleepable?: boolean;
}

/** Made by `thread.registerPoller`. */
export class Poller implements Due {
  readonly name: string;
  /** Unique in its thread, from 1 up. */
  readonly id: number;
  readonly thread: OwnerThread;
  readonly periodUs: number;
  readonly sleepable: boolean;
  /** Calls so far, and how many of them did something. */
  runCount = 0;
  busyCount = 0;
  /** @internal */
  state: number = POLLER_WAITING;
  /** @internal */
  readonly fn: PollerFn<unknown>;
  /** @internal */
  readonly ctx: unknown;
  /** @internal in the list of active pollers, even when it is about to leave it */
  inActive = false;
  /** @internal */
  nextRunUs = 0;
  /** @internal */
  dueOrder = 0;
  /** @internal */
  heapIndex = -1;
  readonly #set: PollerSet;
  /** The stack of its registration; made into words only when somebody asks. */
  readonly #registered = new Error();

  /** @internal use `thread.registerPoller` */
  constructor(thread: OwnerThread, set: PollerSet, id: number, options: PollerOptions<unknown>) {
    const { name = options.fn.name, periodUs = 0 } = options;
    checkName('poller', name);
    if (!Number.isSafeInteger(periodUs) || periodUs < 0) {
      throw new SpdkError('EINVAL', `poller "${name}": period of ${periodUs} µs is not a whole number from 0 up`);
    }
    this.thread = thread;
    this.#set = set;
    this.id = id;
    this.name = name === '' ? `poller_${id}` : name;
    this.fn = options.fn;
    this.ctx = options.ctx;
    this.periodUs = periodUs;
    this.sleepable = periodUs > 0 || options.sleepable === true;
  }

  /** SPDK's word for its state. */
  get stateName(): PollerStateName {
    return STATE_NAMES[this.state] as PollerStateName;
  }

  /** Where it was registered, "folder/file.js:12". */
  get site(): string {
    return callerOf(this.#registered.stack, /\/thread\/(poller|thread)\.[jt]s$/);
  }

  /** The period in clock ticks; a tick is a microsecond here, so `tick_rate` is 1,000,000. 0 for an active poller. */
  get periodTicks(): number {
    return this.periodUs;
  }

  get registered(): boolean {
    return this.state !== POLLER_UNREGISTERED;
  }

  /**
   * Never called again; a call that is running ends first (spdk_poller_unregister). A second time does nothing.
   * @throws {SpdkError} EWRONGTHREAD.
   */
  unregister(): void {
    checkThread(this.thread, 'Poller.unregister', this.name);
    this.#set.unregister(this);
  }

  /**
   * Not called until resumed (spdk_poller_pause). Does nothing when it is paused already.
   * @throws {SpdkError} EWRONGTHREAD; EINVAL when it is unregistered.
   */
  pause(): void {
    checkThread(this.thread, 'Poller.pause', this.name);
    if (!this.registered) throw new SpdkError('EINVAL', `poller "${this.name}" is unregistered: it cannot be paused`);
    this.#set.pause(this);
  }

  /**
   * Called again: an active one from the next turn on, a timed one a period from now (spdk_poller_resume). Does nothing when it is not paused.
   * @throws {SpdkError} EWRONGTHREAD; EINVAL when it is unregistered.
   */
  resume(): void {
    checkThread(this.thread, 'Poller.resume', this.name);
    if (!this.registered) throw new SpdkError('EINVAL', `poller "${this.name}" is unregistered: it cannot be resumed`);
    this.#set.resume(this);
  }
}
