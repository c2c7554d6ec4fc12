// Waits that nobody can end. A thread that waits without a limit can only be notified by another thread; when the last one that could goes to wait too, the
// program hangs for ever. That is said, with where each of them waits, and the process ended. Threads that idle in their event loop do not count as waiting.
//
// It must not be said of a program that would go on. Who waits is told by `waitBuffer` in the threads' records, in two steps:
//
//   1. -buffer: on its way. Whoever notifies this place from here on finds it and puts 0 there.
//   2. it looks whether the value is still the one to wait for, and if so makes it +buffer, unless there is 0 by now.
//
// What was stored before step 1 is seen in step 2; who stores later notifies later, and finds it. So a thread with +buffer is one that sleeps, or will in a
// moment, and that nobody has notified. Then nothing must move for a second, and once more for a while: a process that was stopped finds its second gone
// when it goes on, and has to be given time to move.

import type { Access, Report } from '../report/report.ts';
import { type Control, Header, maxThreads, ThreadField, threadInts } from './control.ts';
import { threadsOf } from './race.ts';
import type { Runtime } from './runtime.ts';
import { framesOf } from './sites.ts';

const { load, store, add, compareExchange, notify, wait } = Atomics;
const parking = new Int32Array(new SharedArrayBuffer(4));
/** A thread that says it waits may be on its way there, or on its way back: if nothing has moved for so long, it is neither. */
const stillMs = 1000;
const againMs = 100;

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

  /** Waits without a limit, by `waitFor(timeoutMs)`; what it returns. `isToWait`: the value is the one to wait for. */
  forever(buffer: number, offset: number, isToWait: () => boolean, waitFor: (timeoutMs: number) => string): string {
    const { control, site } = this.#runtime;
    const { threads } = control;
    const at = this.#record;
    threads[at + ThreadField.waitOffset] = offset;
    threads[at + ThreadField.waitStack] = this.#runtime.captureWord(site[0]!);
    store(threads, at + ThreadField.waitBuffer, -buffer);
    add(control.header, Header.blocked, 1);
    try {
      if (isToWait()) compareExchange(threads, at + ThreadField.waitBuffer, -buffer, buffer);
      let quiet = 0;
      let moves = load(control.header, Header.blocked);
      for (;;) {
        // Where nobody is left to notify this one, it may look after itself.
        const limitMs = !allWait(control) ? Number.POSITIVE_INFINITY : quiet === 0 ? stillMs : againMs;
        const result = waitFor(limitMs);
        if (load(control.header, Header.deadlocked) !== 0) this.#end();
        if (result !== 'timed-out') return result;
        quiet = this.#isStill(moves) ? quiet + 1 : 0;
        if (quiet === 2) this.#hang();
        moves = load(control.header, Header.blocked);
      }
    } finally {
      store(threads, at + ThreadField.waitBuffer, 0);
      add(control.header, Header.blocked, 1);
    }
  }

  #isStill(moves: number): boolean {
    const { control } = this.#runtime;
    return allWait(control) && load(control.header, Header.blocked) === moves;
  }

  /** This thread is at its end, by itself, and runs nothing of the program any more: if those that are left all wait, nobody will notify them. */
  ended(): void {
    const { control } = this.#runtime;
    store(control.threads, this.#record + ThreadField.running, Running.endedItself);
    const moves = load(control.header, Header.blocked);
    for (const ms of [stillMs, againMs]) {
      if (!this.#isStill(moves)) return;
      wait(parking, 0, 0, ms);
    }
    if (this.#isStill(moves)) this.#hang();
  }

  /** Threads that wait there may be waking up. */
  notified(buffer: number, offset: number): void {
    const { control } = this.#runtime;
    const { threads } = control;
    const count = Math.min(load(control.header, Header.nextUid), maxThreads);
    for (let at = 0; at < count * threadInts; at += threadInts) {
      const place = at + ThreadField.waitBuffer;
      for (let seen = load(threads, place); Math.abs(seen) === buffer; seen = load(threads, place)) {
        if (threads[at + ThreadField.waitOffset] !== offset) break;
        if (compareExchange(threads, place, seen, 0) === seen) break;
      }
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
    if (load(threads, at + ThreadField.waitBuffer) > 0) uids.push(threads[at]!);
  }
  return uids;
}

function allWait(control: Control): boolean {
  const { threads } = control;
  const count = Math.min(load(control.header, Header.nextUid), maxThreads);
  for (let at = 0; at < count * threadInts; at += threadInts) {
    if (load(threads, at + ThreadField.running) !== Running.yes) continue;
    if (load(threads, at + ThreadField.waitBuffer) <= 0) return false;
  }
  return true;
}
