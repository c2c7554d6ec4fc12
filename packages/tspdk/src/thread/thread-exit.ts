/**
 * How a thread ends (spdk_thread_exit): running, exiting, exited. Control path; each turn of an exiting thread takes one step.
 *
 * It is exited when every poller is unregistered, every channel released, every message run, every unregistration and iteration that it
 * started has ended, and nothing from another core is under way to it. The last is what SPDK gets from its shared ring and what
 * mailboxes need a protocol for:
 *
 *   1. the thread has nothing left     -> its slot is CLOSED; other cores refuse to send from now on
 *   2. a fence event goes to each core -> each answers with an event
 *   3. all answers are here            -> exited, if what arrived meanwhile has run
 *
 * A sender looks at the slot and pushes its event in one stretch of code; if it saw the slot open, its event was in the mailbox before its
 * core handled the fence, and mailboxes keep order, so the message was here before the answer. Thus: what a send accepted, runs. With one
 * core there is nobody to ask, and a thread with nothing left is exited in the same turn.
 *
 * After limits.thread_exit_timeout_ms it is exited by force, as in SPDK, and the log names what it still had. Messages that wait then
 * are run first; later ones are dropped and counted.
 */
import { defineEvent } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import { log } from '../log/index.ts';
import { currentHost, sendIfUp } from './host.ts';
import { SLOT_CLOSED, SLOT_EXITING } from './shared-thread-table.ts';
import { THREAD_EXITED, THREAD_EXITING, THREAD_RUNNING, type Thread } from './thread.ts';
import { threadsOf } from './threads.ts';

const component = log.register('thread');

/** See Thread.exit. */
export function startExit(thread: Thread): void {
  if (thread.state !== THREAD_RUNNING) return;
  thread.state = THREAD_EXITING;
  // Read, not taken from the turn: exit may come from outside of any, after a long sleep.
  thread.exitDeadlineUs = thread.host.clock.read() + limits.thread_exit_timeout_ms * 1000;
  thread.host.shared.setState(thread.id, SLOT_EXITING);
}

/** Whether the next step of the exit can be taken now, so that the reactor must not sleep over it. */
export function wantsTurn(thread: Thread): boolean {
  return thread.fencesOut <= 0 && hasNothingLeft(thread);
}

/** The end of each turn of an exiting thread. */
export function exitStep(thread: Thread, nowUs: number): void {
  if (nowUs >= thread.exitDeadlineUs) {
    forceExit(thread);
    return;
  }
  if (!hasNothingLeft(thread)) return;
  if (thread.fencesOut < 0) close(thread);
  // A critical message that was accepted before the slot was closed runs in the next turn.
  if (thread.fencesOut === 0 && !thread.criticalWaits) finish(thread);
}

function hasNothingLeft(thread: Thread): boolean {
  return (
    thread.messages.size === 0 &&
    thread.pollers.registered === 0 &&
    thread.channels.size === 0 &&
    thread.unregisterCount + thread.visitCount + thread.forEachCount === 0
  );
}

/** Everything that keeps the thread from exiting, in words; empty when nothing does but the fence. For logs. */
export function whatHolds(thread: Thread): string[] {
  const { messages, unregisterCount, visitCount, forEachCount } = thread;
  return [
    ...(messages.size > 0 ? [`${messages.size} message(s)`] : []),
    ...thread.pollers.all().map(({ name }) => `poller "${name}"`),
    ...[...thread.channels.keys()].map(({ name }) => `a channel of io_device "${name}"`),
    ...(unregisterCount > 0 ? [`${unregisterCount} io_device(s) that are being unregistered`] : []),
    ...(visitCount > 0 ? [`${visitCount} iteration(s) that wait for forEachChannelContinue`] : []),
    ...(forEachCount > 0 ? [`${forEachCount} iteration(s) that have not ended`] : []),
  ];
}

function close(thread: Thread): void {
  const { host, id } = thread;
  host.shared.setState(id, SLOT_CLOSED);
  thread.fencesOut = 0;
  for (const core of host.cores) {
    // A core that has stopped sends nothing any more, so it need not answer.
    if (core !== host.core && sendIfUp(host, core, fence, id, host.core)) thread.fencesOut++;
  }
}

const fence = defineEvent('thread.exit.fence', (id, home) => {
  currentHost().send(home, fenceAnswer, id, 0, 0);
});

const fenceAnswer = defineEvent('thread.exit.fence_answer', (id) => {
  const thread = currentHost().local(threadsOf).find(id);
  if (thread !== undefined) thread.fencesOut--;
});

function forceExit(thread: Thread): void {
  const held = whatHolds(thread).join(', ') || 'no answer from another core';
  component.error(
    `thread ${thread.name}:${thread.id} did not exit in ${limits.thread_exit_timeout_ms} ms and is exited by force; it still has ${held}`,
  );
  thread.messages.run(thread.messages.size, thread);
  finish(thread);
}

function finish(thread: Thread): void {
  const { host } = thread;
  thread.state = THREAD_EXITED;
  thread.exitDeadlineUs = Number.POSITIVE_INFINITY;
  host.shared.free(thread.id);
  host.local(threadsOf).remove(thread);
  component.debug(() => `thread ${thread.name}:${thread.id} has exited`);
}
