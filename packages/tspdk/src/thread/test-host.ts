/**
 * Hosts for tests: several cores in one isolate, with a clock that stands still and events that arrive when the test says so.
 *
 * A stand-in for reactors where a test wants to decide every step (SPDK: ut_multithread.c), or wants a seed to decide: `step` lets one
 * pair of cores deliver an event, or one thread have a turn, as the seed has it. Events stay in order for each pair of cores,
 * as mailboxes keep them; between pairs any order can happen.
 */
import type { Clock } from '../env/clock.ts';
import { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent, type EventFn, handlers } from '../env/event-fn.ts';
import { createHeapMemory, Heap, type HeapMemory, type Ptr } from '../env/heap.ts';
import { limits } from '../env/limits.ts';
import { Random } from '../env/random.ts';
import { currentHost, type LocalKey, type Pollable, type ThreadHost } from './host.ts';
import { SharedThreadTable } from './shared-thread-table.ts';
import { Thread } from './thread.ts';
import { threadsOf } from './threads.ts';

/** Stands still until a test moves it. One for all cores. */
export class ManualClock implements Clock {
  nowUs = 0;
  tick(): void {}
  read(): number {
    return this.nowUs;
  }
}

interface TestEvent {
  readonly fn: EventFn;
  readonly args: readonly [number, number, number];
}

export class TestHost implements ThreadHost {
  readonly core: number;
  readonly cores: readonly number[];
  readonly clock: ManualClock;
  readonly shared: SharedThreadTable;
  readonly heap: Heap;
  readonly pollables: Pollable[] = [];
  /** True makes sends to this core fail, as when its reactor has stopped. */
  stopped = false;
  kicks = 0;
  readonly #cluster: TestCluster;
  readonly #locals = new Map<LocalKey<unknown>, unknown>();

  constructor(cluster: TestCluster, core: number) {
    this.#cluster = cluster;
    this.core = core;
    this.cores = cluster.cores;
    this.clock = cluster.clock;
    this.shared = new SharedThreadTable(cluster.table.buffer);
    this.heap = new Heap(cluster.heapMemory, core);
    this.heap.sendHome = (owner, ptr) => this.send(owner, blockHome, ptr, 0, 0);
  }

  send(core: number, fn: EventFn, arg1: number, arg2: number, arg3: number): void {
    const target = this.#cluster.host(core);
    if (target.stopped)
      throw new SpdkError('ESHUTDOWN', `event "${fn.name}" for core ${core}: that reactor has stopped`);
    this.#cluster.fifo(this.core, core).push({ fn, args: [arg1 | 0, arg2 | 0, arg3 | 0] });
  }
  kick(): void {
    this.kicks++;
  }
  addPollable(pollable: Pollable): void {
    this.pollables.push(pollable);
  }
  removePollable(pollable: Pollable): void {
    this.pollables.splice(this.pollables.indexOf(pollable), 1);
  }
  allocIoDeviceId(): number {
    return ++this.#cluster.deviceIds;
  }
  local<T>(key: LocalKey<T>): T {
    if (!this.#locals.has(key as LocalKey<unknown>)) this.#locals.set(key as LocalKey<unknown>, key.make(this));
    return this.#locals.get(key as LocalKey<unknown>) as T;
  }

  /** Runs `fn` as this core's turn would, with no thread running. */
  turn<T>(fn: () => T): T {
    const [reactor, thread] = [current.reactor, current.thread];
    current.reactor = this;
    current.thread = null;
    try {
      return fn();
    } finally {
      current.reactor = reactor;
      current.thread = thread;
    }
  }

  /** Every thread of this core has one turn. Returns how many did something. */
  poll(maxMsgs: number = limits.msg_batch): number {
    let busy = 0;
    for (const pollable of [...this.pollables]) {
      if (this.turn(() => pollable.poll(maxMsgs)) > 0) busy++;
    }
    return busy;
  }

  /** A thread that lives here. */
  create(name?: string): Thread {
    const mask = this.#cluster.maskOf(this.core);
    return this.turn(() => Thread.create(this, { cpumask: mask, ...(name === undefined ? {} : { name }) })) as Thread;
  }

  get threads(): readonly Thread[] {
    return this.local(threadsOf).list;
  }
}

/** Some cores, one shared memory, one clock, one source of chance. */
export class TestCluster {
  readonly cores: readonly number[];
  readonly hosts: readonly TestHost[];
  readonly clock = new ManualClock();
  readonly table: SharedThreadTable;
  readonly heapMemory: HeapMemory;
  readonly random: Random;
  deviceIds = 0;
  readonly #fifos = new Map<string, TestEvent[]>();

  /** @param shared another isolate's memory, to join. */
  constructor(cores = 1, seed = 1, shared?: { readonly memory: HeapMemory; readonly table: SharedArrayBuffer }) {
    this.table = new SharedThreadTable(shared?.table);
    this.heapMemory = shared?.memory ?? createHeapMemory(4 * 1024 * 1024);
    this.cores = Array.from({ length: cores }, (_, core) => core);
    this.random = new Random(seed);
    this.hosts = this.cores.map((core) => new TestHost(this, core));
  }

  host(core: number): TestHost {
    return this.hosts[core] as TestHost;
  }
  maskOf(core: number): Cpuset {
    return new Cpuset([core]);
  }
  fifo(from: number, to: number): TestEvent[] {
    const key = `${from}>${to}`;
    let fifo = this.#fifos.get(key);
    if (fifo === undefined) {
      fifo = [];
      this.#fifos.set(key, fifo);
    }
    return fifo;
  }

  /** Events sent and not delivered. */
  get underWay(): number {
    let count = 0;
    for (const fifo of this.#fifos.values()) count += fifo.length;
    return count;
  }

  /** Delivers the oldest event of one pair of cores. Returns whether there was one. */
  deliver(from: number, to: number): boolean {
    const event = this.fifo(from, to).shift();
    if (event === undefined) return false;
    this.host(to).turn(() => (handlers[event.fn.id] as (...args: number[]) => void)(...event.args));
    return true;
  }

  /** Delivers everything under way, what that sends too, pair by pair. */
  deliverAll(): void {
    while (this.underWay > 0)
      for (const from of this.cores) for (const to of this.cores) while (this.deliver(from, to));
  }

  /** Delivers and polls in order until nothing is left to do (SPDK: poll_threads). */
  settle(turnsMax = 10000): void {
    for (let turn = 0; turn < turnsMax; turn++) {
      this.deliverAll();
      let busy = 0;
      for (const host of this.hosts) busy += host.poll();
      if (busy === 0 && this.underWay === 0) return;
    }
    throw new Error(`still busy after ${turnsMax} turns`);
  }

  /** One thing that could happen next, as the seed has it: an event arrives, a thread has a turn, time passes. */
  step(): void {
    const pairs = [...this.#fifos].filter(([, fifo]) => fifo.length > 0).map(([key]) => key);
    if (pairs.length > 0 && this.random.chance(0.5)) {
      const [from, to] = this.random.pick(pairs).split('>').map(Number) as [number, number];
      this.deliver(from, to);
      return;
    }
    const host = this.random.pick(this.hosts);
    if (this.random.chance(0.2)) this.clock.nowUs += this.random.int(50);
    if (host.pollables.length === 0) return;
    const pollable = this.random.pick(host.pollables);
    host.turn(() => pollable.poll(1 + this.random.int(8)));
  }

  /** Lets every thread exit and checks that nothing is left: no thread, event or block of shared memory. */
  close(): void {
    this.settle();
    for (const host of this.hosts) for (const thread of [...host.threads]) thread.run(() => thread.exit());
    this.settle();
    for (const host of this.hosts) {
      for (const { name } of host.threads) throw new Error(`thread ${name} has not exited`);
      for (const held of host.heap.held()) throw new Error(`core ${host.core} still holds ${JSON.stringify(held)}`);
    }
    if (this.table.count !== 0) throw new Error(`${this.table.count} threads are still in the table`);
  }
}

const blockHome = defineEvent('test.block_home', (ptr) => currentHost().heap.receive((ptr >>> 0) as Ptr));
