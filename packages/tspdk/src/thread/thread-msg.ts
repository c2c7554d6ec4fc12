/**
 * Messages to a thread known by id, on whichever core it lives. Data path.
 *
 * Across cores a message is one event: slot, function and generation packed in a word, then the two arguments. The handler on the
 * thread's core puts it into the thread's queue, so messages of one sender core arrive in order of sending.
 *
 *   word 1   | generation: 10 bits | function: 12 bits | slot: 10 bits |      word 2, 3   arg1, arg2
 *
 * A send is refused, with EIO, once the thread is closed. What was accepted runs: an exiting thread waits for what is under way to it
 * (thread-exit.ts). The ten bits could confuse two threads only if a slot were reused 1,024 times, some million
 * creations, while one message is under way.
 */
import { assert, SpdkError } from '../env/errors.ts';
import { defineEvent, type EventFn, eventFnName } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import { currentHost, type ThreadHost } from './host.ts';
import { SLOT_CLOSED, SLOT_FREE } from './shared-thread-table.ts';
import type { Thread } from './thread.ts';
import { tagOf, threadsOf } from './threads.ts';

assert(limits.threads_max <= 1 << 10 && limits.event_fns_max <= 1 << 12, 'slot and function fit a message word');

/**
 * Runs `fn(arg1, arg2, 0)` on thread `threadId` (spdk_thread_send_msg). Any core, in order for each pair of sender core and thread.
 * @throws {SpdkError} EIO when the thread has exited or never was; ENOMEM when its queue or the mailbox is full; ESHUTDOWN.
 */
export function sendMsg(threadId: number, fn: EventFn, arg1: number, arg2: number): void {
  sendFrom(currentHost(), threadId, fn, arg1, arg2);
}

/** As sendMsg, but a thread that has exited is an answer, not an error. Returns 0 or -EIO (-5). */
export function trySendMsg(threadId: number, fn: EventFn, arg1: number, arg2: number): number {
  try {
    sendMsg(threadId, fn, arg1, arg2);
    return 0;
  } catch (error) {
    if (error instanceof SpdkError && error.code === 'EIO') return -error.errno;
    throw error;
  }
}

/**
 * Asks for one call of `fn` before everything else that waits (spdk_thread_send_critical_msg). Any core; one place a thread.
 * @returns 0, or -EIO (-5) when the place is taken until that call has ended, or when the thread has exited.
 */
export function sendCriticalMsg(threadId: number, fn: EventFn): number {
  const host = currentHost();
  const state = host.shared.state(threadId);
  if (state === SLOT_FREE || state === SLOT_CLOSED) return -5;
  const core = host.shared.core(threadId);
  const word = host.shared.criticalWord(threadId);
  if (Atomics.compareExchange(host.shared.words, word, 0, fn.id + 1) !== 0) return -5;
  const after = host.shared.state(threadId);
  if (after === SLOT_FREE || after === SLOT_CLOSED) {
    // It was closed in between, and may exit without looking again: taken back, unless it has begun to run.
    return Atomics.compareExchange(host.shared.words, word, fn.id + 1, 0) === fn.id + 1 ? -5 : 0;
  }
  host.send(core, wake, threadId, 0, 0);
  return 0;
}

/** @internal for Thread.sendMsg when another host's turn is running (several hosts in one isolate). */
export function sendFromOutside(thread: Thread, fn: EventFn, arg1: number, arg2: number): void {
  sendFrom(currentHost(), thread.id, fn, arg1, arg2);
}

function sendFrom(host: ThreadHost, id: number, fn: EventFn, arg1: number, arg2: number): void {
  const shared = host.shared;
  const state = shared.state(id);
  const core = shared.core(id);
  if (core === host.core) {
    const thread = host.local(threadsOf).find(id);
    if (thread === undefined) throw gone(id, fn);
    thread.sendMsg(fn, arg1, arg2);
    return;
  }
  if (state === SLOT_FREE || state === SLOT_CLOSED || core < 0) throw gone(id, fn);
  const word = ((id - 1) & (shared.slots - 1)) | (fn.id << 10) | (tagOf(id, shared.slots) << 22);
  host.send(core, deliver, word, arg1, arg2);
}

function gone(id: number, fn: EventFn): SpdkError {
  return new SpdkError('EIO', `message "${fn.name}": thread ${id} has exited`);
}

const deliver = defineEvent('thread.msg', (word, arg1, arg2) => {
  const threads = currentHost().local(threadsOf);
  const fnId = (word >>> 10) & 0xfff;
  const thread = threads.atSlot(word & 0x3ff, word >>> 22);
  if (thread === undefined) threads.drop(`message "${eventFnName(fnId)}"`);
  else thread.messages.push(fnId, arg1, arg2);
});

/** Has the thread's core take a turn; adopts the thread when it is new. */
const wake = defineEvent('thread.wake', (id) => {
  currentHost().local(threadsOf).find(id);
});
