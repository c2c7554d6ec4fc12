// Waits that nobody can end. A thread that waits without a limit can only be notified by another thread; when the last one that could goes to wait too, the
// program hangs for ever. That is said, with where each of them waits, and the process ended. Threads that idle in their event loop do not count as waiting.

import type { Access, Report } from '../report/report.ts';
import { type Control, Header, maxThreads, ThreadField, threadInts } from './control.ts';
import { threadsOf } from './race.ts';
import type { Runtime } from './runtime.ts';
import { framesOf } from './sites.ts';

const { load, store, notify, wait } = Atomics;
const parking = new Int32Array(new SharedArrayBuffer(4));
/** A thread that says it waits may be on its way there, or on its way back: if nothing has moved for so long, it is neither. */
const stillMs = 1000;

/** States in a thread's record. */
export const Running = { no: 0, yes: 1, endedItself: 2 } as const;

export class Waits {
  readonly #runtime: Runtime;
  readonly #record: number;
  readonly #end: () => never;

  constructor(runtime: Runtime, end: () => never) {
    this.#runtime = runtime;
    this.#record = recordAt(runtime.clock.uid);
    this.#end = end;
  }

  /** Waits without a limit, by `waitFor(timeoutMs)`; what it returns. */
  forever(buffer: number, offset: number, waitFor: (timeoutMs: number) => string): string {
    const { control, site } = this.#runtime;
    const { threads } = control;
    const at = this.#record;
    threads[at + ThreadField.waitOffset] = offset;
    threads[at + ThreadField.waitStack] = this.#runtime.captureWord(site[0]!);
    store(threads, at + ThreadField.waitBuffer, buffer);
    Atomics.add(control.header, Header.blocked, 1);
    try {
      for (;;) {
        const moves = load(control.header, Header.blocked);
        // Where nobody is left to notify this one, it may look after itself.
        const result = waitFor(allWait(control) ? stillMs : Number.POSITIVE_INFINITY);
        if (load(control.header, Header.deadlocked) !== 0) this.#end();
        if (result !== 'timed-out') return result;
        if (this.#isStill(moves)) this.#hang();
      }
    } finally {
      store(threads, at + ThreadField.waitBuffer, 0);
      Atomics.add(control.header, Header.blocked, 1);
    }
  }

  #isStill(moves: number): boolean {
    const { control } = this.#runtime;
    return allWait(control) && load(control.header, Header.blocked) === moves;
  }

  /** This thread is at its end, by itself: if those that are left all wait, nobody will notify them. */
  ended(): void {
    const { control } = this.#runtime;
    store(control.threads, this.#record + ThreadField.running, Running.endedItself);
    const moves = load(control.header, Header.blocked);
    if (!allWait(control)) return;
    wait(parking, 0, 0, stillMs);
    if (this.#isStill(moves)) this.#hang();
  }

  /** Threads that wait there may be waking up. */
  notified(buffer: number, offset: number): void {
    const { control } = this.#runtime;
    const { threads } = control;
    const count = Math.min(load(control.header, Header.nextUid), maxThreads);
    for (let at = 0; at < count * threadInts; at += threadInts) {
      if (threads[at + ThreadField.waitBuffer] !== buffer || threads[at + ThreadField.waitOffset] !== offset) continue;
      store(threads, at + ThreadField.waitBuffer, 0);
    }
  }

  #hang(): never {
    const runtime = this.#runtime;
    const { control, clock } = runtime;
    const waiting = waiters(control);
    const order = waiting.includes(clock.uid) ? [clock.uid, ...waiting.filter((uid) => uid !== clock.uid)] : waiting;
    const accesses = order.map((uid): Access => {
      const word = control.threads[recordAt(uid) + ThreadField.waitStack]!;
      return { op: 'wait', size: 0, offset: 0, thread: uid, stack: framesOf(control, word) };
    });
    const report: Report = {
      kind: 'deadlock',
      title: 'all threads wait (deadlock)',
      rule: 'no thread is left that could notify one of them',
      accesses,
      threads: threadsOf(runtime, order),
    };
    runtime.emit(report);
    store(control.header, Header.deadlocked, 1);
    this.#wakeMain();
    this.#end();
  }

  /** Only the main thread can end the process with a code of its own. */
  #wakeMain(): void {
    const { control, buffers, clock } = this.#runtime;
    const memory = buffers.objectOf(control.threads[ThreadField.waitBuffer]!);
    if (clock.uid === 0 || memory === undefined) return;
    const offset = control.threads[ThreadField.waitOffset]!;
    notify(new Int32Array(memory, offset, 1), 0);
    wait(parking, 0, 0, stillMs);
  }
}

function recordAt(uid: number): number {
  return (uid % maxThreads) * threadInts;
}

function waiters(control: Control): number[] {
  const { threads } = control;
  const uids: number[] = [];
  const count = Math.min(load(control.header, Header.nextUid), maxThreads);
  for (let at = 0; at < count * threadInts; at += threadInts) {
    if (threads[at + ThreadField.running] !== Running.yes) continue;
    if (load(threads, at + ThreadField.waitBuffer) !== 0) uids.push(threads[at]!);
  }
  return uids;
}

function allWait(control: Control): boolean {
  const { threads } = control;
  const count = Math.min(load(control.header, Header.nextUid), maxThreads);
  for (let at = 0; at < count * threadInts; at += threadInts) {
    if (load(threads, at + ThreadField.running) !== Running.yes) continue;
    if (load(threads, at + ThreadField.waitBuffer) === 0) return false;
  }
  return true;
}
