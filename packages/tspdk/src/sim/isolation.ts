/**
 * Many simulated threads in one isolate, each with its own `current`, and interrupted by others where real ones would be.
 *
 * *Whose code runs.* On a real thread `current.reactor` is that thread's, in turns and in promises alike. Here an AsyncLocalStorage follows each
 * simulated thread through its promises, and `current.reactor` looks there. Code that asks for the current reactor on a control path thus gets
 * the one it would get in production.
 *
 * *Where others get in.* Real cores interleave inside a turn, and what one core sees of another it sees through atomic accesses to
 * shared memory. So every `Atomics` call of a simulated thread is a point where another may run. It runs nested, on the same
 * stack, which is sound since simulated threads share nothing but shared memory. Not interrupted: the tables of names, which are
 * locked by spinning, and whoever holds a spin lock: a nested thread that waited for them would wait for ever.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { allocSiteTable } from '../env/alloc-site.ts';
import { current } from '../env/current.ts';
import { assert } from '../env/errors.ts';
import { functionTable } from '../env/event-fn.ts';
import type { SimCore } from './sim-core.ts';

const storage = new AsyncLocalStorage<SimCore>();
const ATOMICS = ['load', 'store', 'add', 'sub', 'exchange', 'compareExchange'] as const;

/** The simulated thread whose code this is. */
export function simCore(): SimCore | undefined {
  return storage.getStore();
}

/** Runs `fn` as code of `core`, with nothing of another core's turn showing through. */
export function runOn<T>(core: SimCore, fn: () => T): T {
  const { thread } = current;
  const reactor = overridden;
  current.thread = null;
  overridden = undefined;
  try {
    return storage.run(core, fn);
  } finally {
    current.thread = thread;
    overridden = reactor;
  }
}

/** What was assigned to `current.reactor` and differs from the thread's own; undefined when nothing was. */
let overridden: unknown;
let active = false;

/**
 * Begins a simulation in this isolate; one at a time. Returns what ends it.
 * @param point called at each atomic access that may be interrupted.
 */
export function isolate(point: () => void): () => void {
  assert(!active, 'one simulation at a time');
  active = true;
  const before = current.reactor;
  Object.defineProperty(current, 'reactor', {
    configurable: true,
    enumerable: true,
    get: () => (overridden === undefined ? (storage.getStore()?.reactor ?? null) : overridden),
    set: (value: unknown) => {
      overridden = value === (storage.getStore()?.reactor ?? null) ? undefined : value;
    },
  });
  const restoreAtomics = interpose(point);
  return () => {
    restoreAtomics();
    overridden = undefined;
    Object.defineProperty(current, 'reactor', { configurable: true, enumerable: true, writable: true, value: before });
    active = false;
  };
}

type AtomicFn = (array: Int32Array, ...rest: number[]) => number;

function interpose(point: () => void): () => void {
  const table = Atomics as unknown as Record<(typeof ATOMICS)[number], AtomicFn>;
  const originals = ATOMICS.map((name) => [name, table[name]] as const);
  for (const [name, original] of originals) {
    table[name] = (array, ...rest) => {
      if (array.buffer !== functionTable() && array.buffer !== allocSiteTable() && !holdsLock()) point();
      return original(array, ...rest);
    };
  }
  return () => {
    for (const [name, original] of originals) table[name] = original;
  };
}

function holdsLock(): boolean {
  const thread = current.thread as { lockCount?: number } | null;
  return thread !== null && (thread.lockCount ?? 0) > 0;
}
