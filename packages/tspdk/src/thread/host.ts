/**
 * ThreadHost: what the thread layer needs of the reactor that carries it.
 *
 * Threads do not know reactors: they know a core number, a clock, a heap, a way to send events to other cores, and a
 * place for state that belongs to one reactor. The Reactor implements this; tests and the simulator have their own hosts, many
 * of them in one isolate. That is why state hangs off the host (`local`) and never off a module.
 */
import type { Clock } from '../env/clock.ts';
import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import type { EventFn } from '../env/event-fn.ts';
import type { Heap } from '../env/heap.ts';
import type { StallWatch } from '../env/stall-watch.ts';
import type { SharedThreadTable } from './shared-thread-table.ts';

/** What a host polls each turn. Thread is one. */
export interface Pollable {
  readonly name: string;
  /** Returns > 0 when it did something. The time is the host clock's: an argument would be a number on the heap for each call. */
  poll(maxMsgs: number): number;
  /** When it must be polled next even if no event comes: µs on the clock, one that has passed (as 0) for every turn, Infinity when events alone wake it. */
  nextPollUs(): number;
}

/** One core's carrier of threads. */
export interface ThreadHost {
  /** This core's number. */
  readonly core: number;
  /** All cores of the application, ascending. */
  readonly cores: readonly number[];
  readonly clock: Clock;
  readonly shared: SharedThreadTable;
  readonly heap: Heap;
  /** Not null while a stall is looked for: then messages and pollers are timed one by one. */
  readonly stallWatch?: StallWatch | null;
  /**
   * Runs `handlers[fn.id](arg1, arg2, arg3)` on `core`, in order for each pair of cores, also from outside a turn.
   * @throws {SpdkError} ESHUTDOWN when that core has stopped.
   */
  send(core: number, fn: EventFn, arg1: number, arg2: number, arg3: number): void;
  /** Work was added: have a turn soon. Cheap inside one. */
  kick(): void;
  addPollable(pollable: Pollable): void;
  /** May be called from inside a poll. */
  removePollable(pollable: Pollable): void;
  /** A number that no other io_device of the application has. */
  allocIoDeviceId(): number;
  /** This reactor's own instance of what `key` makes. */
  local<T>(key: LocalKey<T>): T;
}

/** Names a piece of state that every reactor has its own copy of. Made at module load by `localKey`. */
export interface LocalKey<T> {
  readonly name: string;
  readonly make: (host: ThreadHost) => T;
}

/** `const exports = localKey('nbd_exports', () => new Map())`, then `host.local(exports)`. Call at module load. */
export function localKey<T>(name: string, make: (host: ThreadHost) => T): LocalKey<T> {
  return { name, make };
}

/** The host whose turn this is. @throws {SpdkError} EINVAL outside of any turn. */
export function currentHost(): ThreadHost {
  const host = current.reactor as ThreadHost | null;
  if (host === null) throw new SpdkError('EINVAL', 'no reactor is running a turn here');
  return host;
}

/**
 * Sends an event, unless that core has stopped: for protocols that simply skip cores that are gone.
 * @returns whether it was sent. @throws whatever else `send` throws.
 */
export function sendIfUp(host: ThreadHost, core: number, fn: EventFn, arg1: number, arg2: number): boolean {
  try {
    host.send(core, fn, arg1, arg2, 0);
    return true;
  } catch (error) {
    if (error instanceof SpdkError && error.code === 'ESHUTDOWN') return false;
    throw error;
  }
}
