/**
 * `forEachReactor`: run a function on every core in turn, then a completion on the core that asked (SPDK: spdk_for_each_reactor).
 *
 * This is the place the kit was made for. The iteration's state, `call_reactor`, travels by events from core to core. In SPDK's
 * issue 3630 it was allocated on the calling thread and freed by whichever reactor came last; in issue 1766 it leaked when the
 * application stopped in the middle. Here the block is allocated and freed on the caller's core: the last hop sends the
 * completion home, and home frees it. The heap would throw EOWNER otherwise.
 *
 * Each hop writes the block (`next`) on another core than the one before. That is ordered: the write happens before the hop's event is published,
 * and the next core reads after it has taken that event.
 *
 * Stop: once the application is stopping, new iterations are refused (ESHUTDOWN). Those in flight count in
 * `reactor.iterations` of the core that started them, and no reactor leaves its loop before all cores report zero.
 */
import { AllocSite } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent, type EventFn, handlers } from '../env/event-fn.ts';
import type { Ptr } from '../env/heap.ts';
import { struct } from '../env/struct.ts';
import { currentReactor, localKey, type Reactor } from './reactor.ts';

/** State of one iteration, in the shared heap, owned by the core that started it. */
export const CallReactor = struct('call_reactor', {
  /** Event function id to run on every core. */
  fn: 'i32',
  arg1: 'i32',
  arg2: 'i32',
  /** Position (in `cores`) of the core that is visited. */
  next: 'i32',
  /** Core that started the iteration. */
  origin: 'i32',
});

/** Runs on the core that started the iteration, after `fn` ran everywhere. */
export type ForEachDone = (arg1: number, arg2: number) => void;

const site = new AllocSite('call_reactor');
const completions = localKey('for_each_reactor', () => new Map<number, ForEachDone>());

/**
 * Runs `fn(arg1, arg2)` on every core in the order of `cores`, then `done(arg1, arg2)` here. Any core.
 * @throws {SpdkError} ESHUTDOWN when the application is stopping; ENOMEM when the shared heap is exhausted.
 */
export function forEachReactor(reactor: Reactor, fn: EventFn, arg1: number, arg2: number, done: ForEachDone): void {
  if (reactor.stopping) {
    throw new SpdkError(
      'ESHUTDOWN',
      `forEachReactor("${fn.name}") on core ${reactor.core}: the application is stopping`,
    );
  }
  const heap = reactor.heap;
  const ptr = CallReactor.allocIn(heap, site);
  CallReactor.fn.set(heap, ptr, fn.id);
  CallReactor.arg1.set(heap, ptr, arg1);
  CallReactor.arg2.set(heap, ptr, arg2);
  CallReactor.origin.set(heap, ptr, reactor.core);
  try {
    passOn(reactor, ptr, 0);
  } catch (error) {
    heap.free(ptr);
    throw error;
  }
  reactor.local(completions).set(ptr, done);
  reactor.iterations++;
}

/** Sends the iteration to the core at position `next`, or to the first after it that has not died; after the last one, home. */
function passOn(reactor: Reactor, ptr: Ptr, next: number): void {
  const { cores, heap } = reactor;
  for (let at = next; at < cores.length; at++) {
    CallReactor.next.set(heap, ptr, at);
    try {
      reactor.send(cores[at], visit, ptr, 0, 0);
      return;
    } catch (error) {
      if (!(error instanceof SpdkError && error.code === 'ESHUTDOWN')) throw error;
    }
  }
  reactor.send(CallReactor.origin.get(heap, ptr), home, ptr, 0, 0);
}

/** The same as a promise, resolved on the calling core. */
export function forEachReactorAsync(reactor: Reactor, fn: EventFn, arg1 = 0, arg2 = 0): Promise<void> {
  return new Promise((resolve) => forEachReactor(reactor, fn, arg1, arg2, () => resolve()));
}

const visit = defineEvent('event.for_each_reactor.visit', (word) => {
  const ptr = (word >>> 0) as Ptr;
  const reactor = currentReactor();
  const heap = reactor.heap;
  const fn = CallReactor.fn.get(heap, ptr);
  try {
    handlers[fn](CallReactor.arg1.get(heap, ptr), CallReactor.arg2.get(heap, ptr), 0);
  } finally {
    // Also when fn throws: the iteration goes on, the reactor reports the fault.
    passOn(reactor, ptr, CallReactor.next.get(heap, ptr) + 1);
  }
});

const home = defineEvent('event.for_each_reactor.home', (word) => {
  const ptr = (word >>> 0) as Ptr;
  const reactor = currentReactor();
  const waiting = reactor.local(completions);
  const done = waiting.get(ptr) as ForEachDone;
  const arg1 = CallReactor.arg1.get(reactor.heap, ptr);
  const arg2 = CallReactor.arg2.get(reactor.heap, ptr);
  waiting.delete(ptr);
  reactor.heap.free(ptr);
  reactor.iterations--;
  done(arg1, arg2);
});
