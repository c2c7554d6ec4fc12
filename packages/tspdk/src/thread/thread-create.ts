/**
 * How a thread comes to be, on this core or on another. Control path.
 *
 * The creator takes a slot of the shared table, so the id is good at once on every core, and sends the chosen core an adopt event.
 */
import { Cpuset } from '../env/cpuset.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import { currentHost, type ThreadHost } from './host.ts';
import { threadsOf } from './threads.ts';

/** A thread as any core knows it. */
export interface ThreadRef {
  readonly id: number;
  readonly name: string;
  readonly core: number;
}

/** What a thread is called and where it may run. */
export interface ThreadOptions {
  /** At most limits.name_bytes bytes; default "thread_ID". */
  readonly name?: string;
  /** Cores it may run on; default all. One core pins it there. */
  readonly cpumask?: Cpuset;
}

/** See Thread.create. */
export function createThread(host: ThreadHost, options: ThreadOptions): ThreadRef {
  const { name = '', cpumask = Cpuset.all() } = options;
  const cores = coresIn(host, cpumask, `thread "${name}"`);
  const core = cores[host.shared.nextCoreTurn() % cores.length] as number;
  const id = host.shared.allocate(name, core, cpumask);
  if (core === host.core) return host.local(threadsOf).find(id) as ThreadRef;
  const ref = { id, name: name === '' ? `thread_${id}` : name, core };
  try {
    host.send(core, adopt, id, 0, 0);
  } catch (error) {
    host.shared.free(id);
    throw error;
  }
  return ref;
}

/** Cores of the application that are in the mask. @throws {SpdkError} EINVAL when there is none. */
export function coresIn(host: ThreadHost, cpumask: Cpuset, what: string): number[] {
  const cores = host.cores.filter((core) => cpumask.has(core));
  if (cores.length > 0) return cores;
  throw new SpdkError(
    'EINVAL',
    `${what}: mask 0x${cpumask} names no core of the application's 0x${new Cpuset(host.cores)}`,
  );
}

/** A no-op when a message came first and had the thread adopted, or when it has even exited since. */
const adopt = defineEvent('thread.adopt', (id) => {
  currentHost().local(threadsOf).find(id);
});
