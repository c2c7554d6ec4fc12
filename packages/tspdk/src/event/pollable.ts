/**
 * What a reactor polls in each turn: its lightweight threads, its io_uring, sockets without one. The thread layer knows the first half of it.
 */
import type { Pollable as ThreadPollable } from '../thread/index.ts';

/** Something a reactor polls each turn: a lightweight thread, the ring. */
export interface Pollable extends ThreadPollable {
  /** The core is about to sleep: from now on what happens must wake it. False when there is work already. */
  armWake?(): boolean;
  /** The core is awake: nothing needs to wake it. */
  disarmWake?(): void;
}

/** The earliest time at which one of them wants a turn. Data path: what is not computed here is not a new number on the heap. */
export function earliestPollUs(pollables: readonly Pollable[]): number {
  let next = Number.POSITIVE_INFINITY;
  for (let i = 0; i < pollables.length; i++) {
    const at = pollables[i].nextPollUs();
    if (at < next) next = at;
  }
  return next;
}
