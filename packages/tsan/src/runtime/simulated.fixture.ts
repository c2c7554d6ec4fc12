// Threads for tests: each has a clock, buffers, a checker and Atomics of its own as a real one has, and all run in this isolate, in the order that the test wants.

import { parseOptions } from '../report/options.ts';
import type { Report } from '../report/report.ts';
import { AtomicsPatch } from './atomics.ts';
import type { View, ViewShadow } from './buffer-shadow.ts';
import { shadowOf } from './buffers.ts';
import type { Clock } from './clock.ts';
import { Control } from './control.ts';
import { open, seal } from './envelope.ts';
import { Runtime } from './runtime.ts';
import { enterMain, enterThread, leave } from './thread-table.ts';

export type Atomic = (view: View, index: number, ...values: unknown[]) => unknown;
export type ViewOf<T> = new (buffer: SharedArrayBuffer, offset?: number, length?: number) => T;

export class SimulatedThread {
  readonly runtime: Runtime;
  readonly reports: Report[];
  readonly load: Atomic;
  readonly store: Atomic;
  readonly add: Atomic;
  readonly compareExchange: Atomic;
  readonly notify: Atomic;
  readonly atomics: AtomicsPatch;

  constructor(clock: Clock, reports: Report[]) {
    this.reports = reports;
    this.runtime = new Runtime({
      control: clock.control,
      clock,
      options: parseOptions(''),
      emit: (report) => reports.push(report),
    });
    this.atomics = new AtomicsPatch(this.runtime, () => {
      throw new Error('all threads wait');
    });
    this.load = this.atomics.operation(Atomics.load as Atomic, 'load');
    this.store = this.atomics.operation(Atomics.store as Atomic, 'store');
    this.add = this.atomics.operation(Atomics.add as Atomic, 'update');
    this.compareExchange = this.atomics.operation(Atomics.compareExchange as Atomic, 'exchange-if');
    this.notify = this.atomics.notify(Atomics.notify as Atomic);
  }

  /** A view of this thread's own on memory that all share. */
  view<T extends View>(type: ViewOf<T>, buffer: SharedArrayBuffer): T {
    const view = new type(buffer);
    this.runtime.buffers.tagView(view);
    return view;
  }

  read(view: View, index: number, site = 1): void {
    this.runtime.check.read(shadowOf(view) as ViewShadow, view, index, site);
  }

  write(view: View, index: number, site = 2): void {
    this.runtime.check.write(shadowOf(view) as ViewShadow, view, index, site);
  }

  send(value: unknown = undefined): unknown {
    return seal(this.runtime, value, () => false);
  }

  receive(message: unknown): unknown {
    return open(this.runtime, message, () => {});
  }

  create(): SimulatedThread {
    return new SimulatedThread(enterThread(this.runtime.clock, 0, ''), this.reports);
  }

  join(ended: SimulatedThread): void {
    leave(this.runtime.clock, ended.runtime.clock.uid);
  }
}

/** The main thread of a process of its own. */
export function simulateProcess(): SimulatedThread {
  return new SimulatedThread(enterMain(Control.allocate({ textBytes: 1 << 20, syncBytes: 1 << 20 })), []);
}

/** Makes a buffer known to threads, with nothing ordered by it but what was before. */
export function shareBuffer(
  from: SimulatedThread,
  threads: readonly SimulatedThread[],
  bytes: number,
): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes);
  const parcel = from.runtime.buffers.parcel(buffer)!;
  for (const { runtime } of threads) runtime.buffers.adopt(buffer, parcel);
  return buffer;
}
