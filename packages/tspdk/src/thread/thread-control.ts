/**
 * Looking threads up and asking them things: by id, by name, how many, how busy. Control path, any core unless it says otherwise.
 */
import type { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import { currentHost, type ThreadHost } from './host.ts';
import type { ThreadFacts } from './shared-thread-table.ts';
import type { Thread } from './thread.ts';
import { coresIn } from './thread-create.ts';
import { threadsOf } from './threads.ts';

/** Times of a thread, µs. */
export interface ThreadStats {
  /** In turns that did something. */
  readonly busyUs: number;
  /** The rest since it was created: turns that found nothing, other threads' turns, sleep. */
  readonly idleUs: number;
}

/** A thread that is alive, on any core; null when it has exited or never was (spdk_thread_get_by_id). */
export function getThreadById(host: ThreadHost, id: number): ThreadFacts | null {
  return host.shared.facts(id);
}

/** The first one created with that name among those alive, on any core; null when there is none. */
export function getThreadByName(host: ThreadHost, name: string): ThreadFacts | null {
  for (const id of host.shared.ids()) {
    const facts = host.shared.facts(id);
    if (facts !== null && facts.name === name) return facts;
  }
  return null;
}

/** Threads alive on all cores (spdk_thread_get_count). */
export function getCount(host: ThreadHost): number {
  return host.shared.count;
}

/** The Threads that live on this host's core, in order of adoption. */
export function localThreads(host: ThreadHost): readonly Thread[] {
  return host.local(threadsOf).list;
}

/** A message that makes its thread exit: `sendMsg(id, exitThread, 0, 0)` from any core. */
export const exitThread = defineEvent('thread.exit', () => {
  currentThreadOf(currentHost()).exit();
});

/** See Thread.stats. */
export function threadStats(thread: Thread): ThreadStats {
  const busyUs = thread.busyUs;
  return { busyUs, idleUs: Math.max(0, thread.host.clock.nowUs - thread.createdUs - busyUs) };
}

/** See Thread.setCpumask. */
export function setCpumask(thread: Thread, cpumask: Cpuset): void {
  const { host } = thread;
  coresIn(host, cpumask, `thread "${thread.name}"`);
  if (!cpumask.has(host.core)) {
    throw new SpdkError(
      'ENOTSUP',
      `thread "${thread.name}" cannot leave core ${host.core} for mask 0x${cpumask}: it cannot move`,
    );
  }
  host.shared.setCpumask(thread.id, cpumask);
}

function currentThreadOf(host: ThreadHost): Thread {
  const thread = current.thread as Thread | null;
  if (thread === null) throw new SpdkError('EINVAL', `no thread is running on core ${host.core}`);
  return thread;
}
