/**
 * Who may call: the rule behind every EWRONGTHREAD.
 *
 * A poller, a channel, a lock belongs to one thread. Another thread that touches it has made the mistake that SPDK's model exists to
 * prevent, so it is told, with both names. Code that runs on the right reactor while no thread is running (a promise continuation of
 * the control path) may act for a thread of that reactor: one isolate runs one thing at a time, so nothing is interrupted.
 */
import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import type { ThreadHost } from './host.ts';

/** The part of a thread that the rule is about. */
export interface OwnerThread {
  readonly id: number;
  readonly name: string;
  readonly host: ThreadHost;
}

/** @throws {SpdkError} EWRONGTHREAD unless `owner` runs, or nothing runs on its reactor. */
export function checkThread(owner: OwnerThread, what: string, name: string): void {
  if (current.thread === owner) return;
  if (current.thread === null && (current.reactor === null || current.reactor === owner.host)) return;
  throw wrongThread(owner, what, name);
}

function wrongThread(owner: OwnerThread, what: string, name: string): SpdkError {
  const running = current.thread as OwnerThread | null;
  const caller =
    running === null ? 'outside of any thread, on another reactor' : `thread ${running.name}:${running.id}`;
  return new SpdkError(
    'EWRONGTHREAD',
    `${what}(${name}) called from ${caller}; it belongs to thread ${owner.name}:${owner.id} on core ${owner.host.core}`,
  );
}
