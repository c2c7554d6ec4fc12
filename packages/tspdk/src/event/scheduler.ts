/**
 * The schedulers' port: who decides which core a thread lives on, and what it is told to decide by.
 *
 * A scheduler is a policy (module/scheduler/), chosen by name; it gets the load of all cores and answers with moves. Threads do not move
 * yet, so `static`, which never moves any, is the only one, and nothing calls `balance` or keeps threads off isolated cores; the port, its RPCs and the
 * metrics are what a dynamic one needs.
 * App core only. SPDK: spdk_scheduler, spdk_governor, lib/event/scheduler_static.c.
 */
import { Cpuset } from '../env/cpuset.ts';
import { SpdkError } from '../env/errors.ts';
import { localThreads } from '../thread/index.ts';
import { defineControl } from './control.ts';
import { localKey, type Reactor } from './reactor.ts';

/** Load of one thread since it was created, µs. */
export interface ThreadLoad {
  readonly id: number;
  readonly name: string;
  readonly busyUs: number;
  readonly idleUs: number;
}

/** Load of one core since it started, µs, and what runs there. */
export interface CoreLoad {
  readonly core: number;
  readonly busyUs: number;
  readonly idleUs: number;
  /** The core takes no threads but those bound to it. */
  readonly isolated: boolean;
  readonly threads: readonly ThreadLoad[];
}

/** A thread that should live elsewhere. */
export interface ThreadMove {
  readonly thread: number;
  readonly toCore: number;
}

/** A policy. */
export interface Scheduler {
  readonly name: string;
  /** Becomes the current one. @throws to stay out. */
  init?(): void;
  /** Another becomes the current one. */
  deinit?(): void;
  /** To be called every period, when the period is not 0; nothing does yet. */
  balance(cores: readonly CoreLoad[]): readonly ThreadMove[];
  /** Parameters of framework_set_scheduler beyond name and period. @throws {SpdkError} EINVAL */
  setOptions?(options: Readonly<Record<string, unknown>>): void;
  getOptions?(): Record<string, unknown>;
}

/** Sets core frequencies for a scheduler; none exists yet. */
export interface Governor {
  readonly name: string;
}

/** Load of this core, for the scheduler. */
export const coreLoad = defineControl('event.core_load', (_: null, reactor): Omit<CoreLoad, 'isolated'> => {
  reactor.settle();
  return {
    core: reactor.core,
    busyUs: reactor.stats.busyUs,
    idleUs: reactor.stats.idleUs,
    threads: localThreads(reactor).map((thread) => ({ id: thread.id, name: thread.name, ...thread.stats() })),
  };
});

/** The schedulers of an application and which one is current. */
export class Schedulers {
  readonly #known = new Map<string, Scheduler>();
  #current: Scheduler | null = null;
  #periodUs = 0;
  /** Cores meant for bound threads only; schedulers are told, the placing of new threads does not look. */
  isolated = new Cpuset();
  governor: Governor | null = null;

  /** @throws {SpdkError} EEXIST */
  register(scheduler: Scheduler): void {
    if (this.#known.has(scheduler.name)) throw new SpdkError('EEXIST', `scheduler "${scheduler.name}" is registered`);
    this.#known.set(scheduler.name, scheduler);
    this.#current ??= scheduler;
  }

  /** @throws {SpdkError} ENOENT before one is registered. */
  get current(): Scheduler {
    if (this.#current === null) throw new SpdkError('ENOENT', 'no scheduler is registered');
    return this.#current;
  }

  /** µs between two balances; 0 is never. */
  get periodUs(): number {
    return this.#periodUs;
  }

  /**
   * Makes another scheduler the current one, or gives the current one other options; all or nothing.
   * @throws {SpdkError} EINVAL for an unknown name, option or period.
   */
  set(name: string, periodUs: number | undefined, options: Readonly<Record<string, unknown>>): void {
    const next = this.#known.get(name);
    if (next === undefined) {
      throw new SpdkError('EINVAL', `scheduler "${name}" is not one of ${[...this.#known.keys()].join(', ')}`);
    }
    const unknown = Object.keys(options)[0];
    if (unknown !== undefined && next.setOptions === undefined) {
      throw new SpdkError('EINVAL', `scheduler "${name}" takes no option "${unknown}"`);
    }
    next.setOptions?.(options);
    if (next !== this.#current) {
      next.init?.();
      this.#current?.deinit?.();
      this.#current = next;
    }
    if (periodUs !== undefined) this.#periodUs = periodUs;
  }
}

const key = localKey('schedulers', () => new Schedulers());

/** The schedulers of the application whose app core this is. */
export function schedulersOf(reactor: Reactor): Schedulers {
  return reactor.local(key);
}
