/**
 * Random programs over threads: what must hold whatever the order in which cores deliver and threads run.
 *
 * `threadProgram(seed)` builds two or three hosts in one isolate, has the seed choose what threads do and which event arrives when, lets everything end,
 * and throws when an invariant is broken: each accepted message runs exactly once and in order for its pair of sender core and thread;
 * nothing runs on a thread that has exited; an iteration visits each thread or channel once, in order, misses none that lived through it, and comes
 * home; channels made are channels destroyed; nothing is left in shared memory.
 */

import { Cpuset } from '../env/cpuset.ts';
import { assert } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import type { Random } from '../env/random.ts';
import { forEachChannel, forEachChannelContinue, iterChannel } from './for-each-channel.ts';
import { forEachThread } from './for-each-thread.ts';
import { currentHost, localKey } from './host.ts';
import { getIoChannel, type IoChannel, putIoChannel } from './io-channel.ts';
import { IoDevice } from './io-device.ts';
import type { Poller } from './poller.ts';
import { TestCluster, type TestHost } from './test-host.ts';
import { currentThread, Thread } from './thread.ts';
import { whatHolds } from './thread-exit.ts';
import { trySendMsg } from './thread-msg.ts';
import { threadsOf } from './threads.ts';

/** Runs the program that the seed stands for. @throws what was broken. */
export function threadProgram(seed: number): void {
  new Program(seed).run();
}

interface Iteration {
  readonly kind: 'threads' | 'channels';
  readonly visited: number[];
  /** Threads that should be visited if they live through it. */
  readonly atStart: Set<number>;
  done: boolean;
}

/** The program whose cluster a host belongs to; handlers find it through their host. */
const programOf = localKey<{ program: Program | null }>('test.sim.program', () => ({ program: null }));
const program = () => currentHost().local(programOf).program as Program;

const message = defineEvent('test.sim.message', (sender, seq) => program().onMessage(sender, seq));
const visitThread = defineEvent('test.sim.visit_thread', (at) => program().onVisit(at));
const visitChannel = defineEvent('test.sim.visit_channel', (iter, at) => {
  assert(iterChannel(iter)?.thread === currentThread(), 'an iteration finds the channel of the thread it is at');
  program().onVisit(at);
  if (program().random.chance(0.3)) program().waiting.push({ thread: currentThread() as Thread, iter });
  else forEachChannelContinue(iter, 0);
});

class Program {
  readonly random: Random;
  readonly waiting: { thread: Thread; iter: number }[] = [];
  readonly #cluster: TestCluster;
  readonly #device: number;
  readonly #sent = new Map<string, number>();
  readonly #received = new Map<string, number>();
  readonly #iterations: Iteration[] = [];
  readonly #channels: IoChannel[] = [];
  #made = 0;
  #destroyed = 0;
  #depth = 0;
  #ending = false;

  constructor(seed: number) {
    this.#cluster = new TestCluster(2 + (seed & 1), seed);
    this.random = this.#cluster.random;
    const [first] = this.#cluster.hosts as [TestHost];
    this.#device = first.allocIoDeviceId();
    for (const host of this.#cluster.hosts) {
      host.local(programOf).program = this;
      IoDevice.register(host, {
        id: this.#device,
        create: () => {
          if (this.random.chance(0.1)) return -12;
          this.#made++;
          return 0;
        },
        destroy: (channel) => {
          assert(channel.ref === 0, 'a channel is destroyed without references');
          this.#destroyed++;
        },
      });
      host.create();
    }
  }

  run(): void {
    for (let step = 0; step < 300; step++) {
      if (this.random.chance(0.4)) this.#fromOutside();
      this.#cluster.step();
    }
    this.#end();
  }

  onMessage(sender: number, seq: number): void {
    const thread = this.#alive();
    const pair = `${sender}>${thread.id}`;
    const expected = (this.#received.get(pair) ?? 0) + 1;
    assert(seq === expected, `message ${seq} of ${pair} runs when ${expected} is due`);
    this.#received.set(pair, seq);
    this.#inside();
  }

  onVisit(at: number): void {
    const { visited, kind } = this.#iterations[at] as Iteration;
    const { id } = this.#alive();
    assert(!visited.includes(id), `an iteration visits thread ${id} once`);
    if (kind === 'threads')
      assert(
        visited.every((other) => other < id),
        'threads are visited in order of creation',
      );
    visited.push(id);
    this.#inside();
  }

  #alive(): Thread {
    const thread = currentThread() as Thread;
    assert(!thread.isExited, `nothing runs on thread ${thread.id}, which has exited`);
    return thread;
  }

  /** Control code, or a turn without a thread. */
  #fromOutside(): void {
    const host = this.random.pick(this.#cluster.hosts);
    const threads = host.threads;
    if (this.random.chance(0.15)) this.#create(host);
    else if (threads.length > 0) {
      const thread = this.random.pick(threads);
      thread.run(() => this.#act(thread));
    }
  }

  /** A message, poller or visit may do something too. */
  #inside(): void {
    if (this.#depth > 2 || this.#ending || !this.random.chance(0.3)) return;
    this.#depth++;
    this.#act(this.#alive());
    this.#depth--;
  }

  #act(thread: Thread): void {
    const choice = this.random.int(20);
    if (choice < 9) this.#send();
    else if (choice < 11) this.#register(thread);
    else if (choice < 13) this.#poke(thread);
    else if (choice < 15) this.#get();
    else if (choice < 16) this.#put(thread);
    else if (choice < 17) this.#forEach('threads');
    else if (choice < 18) this.#forEach('channels');
    else if (choice < 19) this.#goOn(thread);
    else if (this.random.chance(0.5)) this.#leave(thread);
  }

  #create(host: TestHost): void {
    if (this.#cluster.table.count > 12) return;
    const cpumask = new Cpuset([this.random.pick(this.#cluster.cores)]);
    host.turn(() => Thread.create(host, { cpumask }));
  }

  #send(): void {
    const ids = this.#cluster.table.ids();
    if (ids.length === 0) return;
    const id = this.random.pick(ids);
    const core = (currentThread() as Thread).core;
    const pair = `${core}>${id}`;
    const seq = (this.#sent.get(pair) ?? 0) + 1;
    if (trySendMsg(id, message, core, seq) === 0) this.#sent.set(pair, seq);
  }

  #register(thread: Thread): void {
    let left = 1 + this.random.int(6);
    const poller = thread.registerPoller({
      periodUs: this.random.chance(0.5) ? 0 : 1 + this.random.int(60),
      fn: () => {
        assert(this.#alive() === thread, 'a poller runs on its thread');
        assert(poller.stateName === 'running', `a poller runs in state ${poller.stateName}`);
        this.#inside();
        if (--left <= 0) poller.unregister();
        return this.random.int(2);
      },
    });
  }

  #poke(thread: Thread): void {
    const pollers = thread.pollers.all();
    if (pollers.length === 0) return;
    const poller: Poller = this.random.pick(pollers);
    const choice = this.random.int(3);
    if (choice === 0) poller.unregister();
    else if (choice === 1) poller.pause();
    else poller.resume();
  }

  #get(): void {
    try {
      this.#channels.push(getIoChannel(this.#device));
    } catch (error) {
      assert(/rc -12/.test(String(error)), `a channel is refused only by its device: ${error}`);
    }
  }

  #put(thread: Thread): void {
    const at = this.#channels.findIndex((channel) => channel.thread === thread);
    if (at >= 0) putIoChannel(this.#channels.splice(at, 1)[0] as IoChannel);
  }

  #forEach(kind: Iteration['kind']): void {
    if (this.#iterations.length > 40) return;
    const at = this.#iterations.length;
    const atStart = new Set<number>();
    for (const host of this.#cluster.hosts) {
      for (const thread of host.threads)
        if (kind === 'threads' ? thread.isRunning : this.#holds(thread)) atStart.add(thread.id);
    }
    const caller = this.#alive();
    const iteration: Iteration = { kind, visited: [], atStart, done: false };
    this.#iterations.push(iteration);
    const done = () => {
      assert(this.#alive() === caller, 'an iteration comes home to its caller');
      assert(!iteration.done, 'an iteration comes home once');
      iteration.done = true;
      this.#checkVisited(iteration);
    };
    if (kind === 'threads') forEachThread(visitThread, at, done);
    else forEachChannel(this.#device, visitChannel, at, done);
  }

  #holds(thread: Thread): boolean {
    return this.#channels.some((channel) => channel.thread === thread);
  }

  /** A thread that runs now, and ran when the iteration began, lived through it. Channels come and go: only for threads. */
  #checkVisited({ kind, visited, atStart }: Iteration): void {
    if (kind !== 'threads') return;
    for (const host of this.#cluster.hosts) {
      for (const thread of host.threads) {
        if (thread.isRunning && atStart.has(thread.id))
          assert(visited.includes(thread.id), `thread ${thread.id} is visited`);
      }
    }
  }

  #goOn(thread: Thread): void {
    const at = this.waiting.findIndex((wait) => wait.thread === thread);
    if (at >= 0) forEachChannelContinue(this.waiting.splice(at, 1)[0]?.iter as number, 0);
  }

  /** Gives back what the thread has, and exits; it keeps what iterations need of it. */
  #leave(thread: Thread): void {
    if (this.waiting.some((wait) => wait.thread === thread)) return;
    for (const poller of thread.pollers.all()) poller.unregister();
    while (this.#holds(thread)) this.#put(thread);
    thread.exit();
  }

  #end(): void {
    this.#ending = true;
    for (let round = 0; round < 50 && this.#cluster.table.count > 0; round++) {
      for (const host of this.#cluster.hosts) {
        for (const thread of [...host.threads]) {
          thread.run(() => {
            this.#goOn(thread);
            if (round > 5) this.#leave(thread);
          });
        }
      }
      this.#cluster.clock.nowUs += 100;
      for (let step = 0; step < 200; step++) this.#cluster.step();
    }
    this.#cluster.settle();
    for (const { threads } of this.#cluster.hosts) {
      for (const thread of threads) assert(false, `thread ${thread.id} does not exit: ${whatHolds(thread).join()}`);
    }
    assert(this.#cluster.table.count === 0, `${this.#cluster.table.count} threads are left in the table`);
    this.#checkEnd();
  }

  #checkEnd(): void {
    for (const [pair, sent] of this.#sent) {
      const received = this.#received.get(pair) ?? 0;
      assert(received === sent, `of ${sent} accepted messages of ${pair}, ${received} ran`);
    }
    for (const [at, { done, kind }] of this.#iterations.entries())
      assert(done, `iteration ${at} over ${kind} came home`);
    assert(this.#made === this.#destroyed, `${this.#made} channels made, ${this.#destroyed} destroyed`);
    for (const host of this.#cluster.hosts) {
      assert(host.heap.blocks === 0, `core ${host.core} holds ${JSON.stringify(host.heap.held())}`);
      assert(host.local(threadsOf).dropped === 0, `core ${host.core} dropped messages`);
      const device = IoDevice.find(host, this.#device);
      assert(device?.channelCount === 0 && device.forEachCount === 0, 'the device is free');
      device.unregister();
    }
  }
}
