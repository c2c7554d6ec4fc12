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
import type { SharedThreadTable } from './shared-thread-table.ts';

/** One core's carrier of threads. */
export interface ThreadHost {
  /** This core's number. */
  readonly core: number;
  /** All cores of the application, ascending. */
  readonly cores: readonly number[];
  readonly clock: Clock;
  readonly shared: SharedThreadTable;
  readonly heap: Heap;
  /**
   * Runs `handlers[fn.id](arg1, arg2, arg3)` on `core`, in order for each pair of cores, also from outside a turn.
   * @throws {SpdkError} ESHUTDOWN when that core has stopped.
   */
  send(core: number, fn: EventFn, arg1: number, arg2: number, arg3: number): void;
  /** This reactor's own instance of what `key` makes. */
  local<T>(key: LocalKey<T>): T;
}

/** Names a piece of state that every reactor has its own copy of. Made at module load by `localKey`. */
export interface LocalKey<T> {
  readonly name: string;
  /** Dense, so that a host may keep an array. */
  readonly index: number;
  readonly make: (host: ThreadHost) => T;
}

let keys = 0;

/** `const exports = localKey('nbd_exports', () => new Map())`, then `host.local(exports)`. Call at module load. */
export function localKey<T>(name: string, make: (host: ThreadHost) => T): LocalKey<T> {
  return { name, index: keys++, make };
}

/** The array behind `ThreadHost.local`. */
export class LocalStore {
  readonly #host: ThreadHost;
  readonly #values: unknown[] = [];
  constructor(host: ThreadHost) {
    this.#host = host;
  }
  get<T>(key: LocalKey<T>): T {
    const known = this.#values[key.index];
    if (known !== undefined) return known as T;
    const made = key.make(this.#host);
    this.#values[key.index] = made;
    return made;
  }
}

/** The host whose turn this is. @throws {SpdkError} EINVAL outside of any turn. */
export function currentHost(): ThreadHost {
  const host = current.reactor as ThreadHost | null;
  if (host === null) throw new SpdkError('EINVAL', 'no reactor is running a turn here');
  return host;
}
