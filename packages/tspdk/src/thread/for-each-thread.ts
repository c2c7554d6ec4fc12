/**
 * forEachThread: a function on every thread of every core, one after the other, then a callback where it began.
 *
 * The rule the kit was made for: who allocates, frees. The iteration's block comes from the caller's heap, passes through every core's
 * hands, and is freed on the caller's core when the iteration has come home. The order is that of creation, as in SPDK. A thread that
 * exits meanwhile is skipped; one that is created meanwhile is visited. The caller cannot exit before its callback has run.
 */
import { AllocSite } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent, type EventFn, type EventHandler, handlers } from '../env/event-fn.ts';
import type { Ptr } from '../env/heap.ts';
import { struct } from '../env/struct.ts';
import { log } from '../log/index.ts';
import { currentHost, localKey, sendIfUp, type ThreadHost } from './host.ts';
import { currentThread, type Thread } from './thread.ts';
import { threadsOf } from './threads.ts';

const component = log.register('thread');

/** What travels: the function and its argument, who asked, who is visited. */
const CallThread = struct('call_thread', { fn: 'i32', arg: 'i32', homeCore: 'i32', homeThread: 'i32', thread: 'i32' });
const site = new AllocSite('call_thread');

/** What stays: the callback, by block. */
interface Pending {
  readonly thread: Thread;
  readonly done: (arg: number) => void;
}
const pendingOf = localKey('for_each_thread', () => new Map<Ptr, Pending>());

/**
 * Runs `fn(arg, 0, 0)` on every running thread, then `done(arg)` on the calling thread (spdk_for_each_thread).
 * @throws {SpdkError} EINVAL outside of any thread; ENOMEM when the shared heap is exhausted.
 */
export function forEachThread(fn: EventFn, arg: number, done: (arg: number) => void): void {
  const thread = currentThread();
  if (thread === null) throw new SpdkError('EINVAL', `forEachThread(${fn.name}): no thread is running`);
  const { host } = thread;
  const heap = host.heap;
  const block = CallThread.allocIn(heap, site);
  CallThread.fn.set(heap, block, fn.id);
  CallThread.arg.set(heap, block, arg);
  CallThread.homeCore.set(heap, block, host.core);
  CallThread.homeThread.set(heap, block, thread.id);
  host.local(pendingOf).set(block, { thread, done });
  thread.forEachCount++;
  goOn(host, block);
}

/** forEachThread as a promise; `thread` is the caller. Control code of its reactor. */
export function forEachThreadAsync(thread: Thread, fn: EventFn, arg: number): Promise<void> {
  return new Promise((resolve) => thread.run(() => forEachThread(fn, arg, () => resolve())));
}

/** Sends the block to the next thread, or home. */
function goOn(host: ThreadHost, block: Ptr): void {
  for (;;) {
    const next = host.shared.nextAlive(CallThread.thread.get(host.heap, block));
    if (next === 0) {
      goHome(host, block);
      return;
    }
    CallThread.thread.set(host.heap, block, next);
    const core = host.shared.core(next);
    if (core === host.core) {
      if (visit(host, block)) return;
    } else if (core >= 0 && sendIfUp(host, core, hop, block, 0)) return;
  }
}

/** Queues the call on the thread that the block names. False when that thread is gone or on its way out. */
function visit(host: ThreadHost, block: Ptr): boolean {
  const thread = host.local(threadsOf).find(CallThread.thread.get(host.heap, block));
  if (thread === undefined || !thread.isRunning) return false;
  thread.sendInternal(call, block);
  return true;
}

const hop = defineEvent('thread.for_each_thread.hop', (word) => {
  const host = currentHost();
  const block = (word >>> 0) as Ptr;
  if (!visit(host, block)) goOn(host, block);
});

function call(block: Ptr): void {
  const host = (currentThread() as Thread).host;
  const fn = handlers[CallThread.fn.get(host.heap, block)] as EventHandler;
  try {
    fn(CallThread.arg.get(host.heap, block), 0, 0);
  } finally {
    goOn(host, block);
  }
}

function goHome(host: ThreadHost, block: Ptr): void {
  const home = CallThread.homeCore.get(host.heap, block);
  if (home === host.core) arrive(host, block);
  else host.send(home, homeAgain, block, 0, 0);
}

const homeAgain = defineEvent('thread.for_each_thread.home', (word) => arrive(currentHost(), (word >>> 0) as Ptr));

/** On the caller's core: what was allocated here is freed here. */
function arrive(host: ThreadHost, block: Ptr): void {
  const pending = host.local(pendingOf);
  const { thread, done } = pending.get(block) as Pending;
  const arg = CallThread.arg.get(host.heap, block);
  pending.delete(block);
  host.heap.free(block);
  if (thread.isExited) {
    component.error(
      `forEachThread: thread ${thread.name}:${thread.id} was exited by force before its iteration came home`,
    );
    return;
  }
  thread.sendInternal(() => {
    thread.forEachCount--;
    done(arg);
  }, null);
}
