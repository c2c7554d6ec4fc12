/**
 * Several reactors in one isolate, without threads and without libuv: for tests of the block layer and of what stands on it.
 *
 * Turns run only when the test says so (`turns`, `until`), so every test is deterministic but for real files. Control calls cross by structured
 * clone, as between threads.
 */
import { setImmediate as tick } from 'node:timers/promises';
import type { Clock } from '../env/clock.ts';
import { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import type { IoBufMemory, IoBufOptions } from '../env/iobuf.ts';
import type { Segment } from '../env/segment.ts';
import { Ring } from '../env/uring.ts';
import type { AppHandle } from '../event/app-handle.ts';
import { type Control, runControl } from '../event/control.ts';
import { createFabric } from '../event/fabric.ts';
import { Reactor } from '../event/reactor.ts';
import { Thread } from '../thread/index.ts';
import { type BdevRegistry, bdevRegistry } from './registry.ts';

/** Time that passes when the test says so. */
export class TestClock implements Clock {
  nowUs = 1;
  tick(): void {}
  read(): number {
    return this.nowUs;
  }
}

export interface ClusterOptions {
  readonly reactors?: number;
  readonly clock?: Clock;
  /** Bytes of the shared heap. */
  readonly heapBytes?: number;
  /** Sizes of the pools of I/O buffers. */
  readonly iobuf?: IoBufOptions;
  /** Give each reactor an io_uring, where the system has it (`ringReason` says when not). */
  readonly ring?: boolean;
  /** µs that pass each round of turns. Default 1. */
  readonly roundUs?: number;
}

export class Cluster {
  readonly reactors: Reactor[] = [];
  readonly clock: Clock;
  readonly faults: unknown[] = [];
  /** One on each reactor. */
  readonly threads: Thread[] = [];
  readonly iobufMemory: IoBufMemory;
  readonly #roundUs: number;

  constructor(options: ClusterOptions = {}) {
    const cores = Array.from({ length: options.reactors ?? 1 }, (_, core) => core);
    this.clock = options.clock ?? new TestClock();
    this.#roundUs = options.roundUs ?? 1;
    const fabric = createFabric({
      cores,
      mainCore: 0,
      ...(options.heapBytes === undefined ? {} : { heapBytes: options.heapBytes }),
      ...(options.iobuf === undefined ? {} : { iobuf: options.iobuf }),
    });
    this.iobufMemory = fabric.iobuf;
    const app: AppHandle = {
      mainCore: 0,
      stop: () => {},
      call: async <P, R>(core: number, control: Control<P, R>, payload: P): Promise<R> => {
        await null;
        const result = await runControl(control.name, structuredClone(payload), this.reactors[core]);
        return structuredClone(result) as R;
      },
    };
    for (const core of cores) {
      const reactor = new Reactor({
        fabric,
        core,
        clock: this.clock,
        app,
        onFault: (error) => void this.faults.push(error),
      });
      this.reactors.push(reactor);
      this.threads.push(Thread.create(reactor, { name: `test_${core}`, cpumask: new Cpuset([core]) }) as Thread);
      if (options.ring === true) this.#openRing(reactor);
    }
  }

  #openRing(reactor: Reactor): void {
    const ring = Ring.open({ entries: 64 });
    if (!(ring instanceof Ring)) {
      reactor.ringReason = ring.reason;
      return;
    }
    reactor.ring = ring;
    reactor.addPollable({ name: 'io_uring', poll: () => ring.poll(), nextPollUs: () => Number.POSITIVE_INFINITY });
  }

  get bdevs(): BdevRegistry {
    return bdevRegistry(this.reactors[0]);
  }

  /** Runs `fn` as the thread of reactor `core` would. */
  on<T>(core: number, fn: () => T): T {
    const { reactor, thread } = current;
    current.reactor = this.reactors[core];
    current.thread = this.threads[core];
    try {
      return fn();
    } finally {
      current.reactor = reactor;
      current.thread = thread;
    }
  }

  /** I/O memory that every reactor knows. */
  memory(bytes: number): Segment {
    const sab = new SharedArrayBuffer(bytes);
    const id = this.reactors[0].allocSegmentId();
    const [first] = this.reactors.map((reactor) => reactor.segments.attach(id, sab));
    return first;
  }

  /** Forgets memory. */
  forget(segment: Segment): void {
    for (const reactor of this.reactors) reactor.segments.detach(segment.id);
  }

  /** One turn of every reactor. Returns how much was done. */
  round(): number {
    this.clock.nowUs += this.#roundUs;
    let done = 0;
    for (const reactor of this.reactors) done += reactor.turn();
    current.reactor = null;
    return done;
  }

  /** Turns until nothing is done in a whole round. */
  turns(): void {
    while (this.round() > 0 || this.reactors.some((reactor) => reactor.hasWork()));
  }

  /** Turns, with time enough for what waits for it: retries, looks whether something has drained. */
  settle(): void {
    for (let i = 0; i < 4; i++) {
      this.turns();
      this.clock.nowUs += 100;
    }
    this.turns();
  }

  /** Turns until `promise` settles, letting Node's loop run in between. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const done = promise.finally(() => {
      settled = true;
    });
    done.catch(() => {});
    while (!settled) {
      this.round();
      await tick();
    }
    return done;
  }

  /** Turns until `condition` holds. */
  async untilTrue(condition: () => boolean): Promise<void> {
    while (!condition()) {
      this.round();
      await tick();
    }
  }

  /** Removes the disks, and throws what code under test threw in callbacks and events. */
  async close(): Promise<void> {
    await this.until(this.bdevs.fini());
    this.turns();
    for (const reactor of this.reactors) reactor.ring?.close();
    if (this.faults.length > 0) throw this.faults[0];
    for (const reactor of this.reactors) {
      const held = reactor.heap.held();
      if (held.length > 0) throw new Error(`core ${reactor.core} still holds ${JSON.stringify(held)}`);
    }
  }
}

/** A cluster whose block layer is ready. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = new Cluster(options);
  await cluster.until(cluster.bdevs.init());
  return cluster;
}
