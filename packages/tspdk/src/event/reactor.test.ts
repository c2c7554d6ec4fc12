// Reactors one turn at a time, no loop, no threads: the names in brackets are those of SPDK's reactor_ut.
//
// Where the rest of it is: test_scheduler, test_governor and test_scheduler_set_isolated_core_mask in module/scheduler/scheduler.test.ts, as far as a
// static scheduler has them. What waits for a dynamic one, since threads do not move yet: the moves of test_reschedule_thread (here only what is refused
// instead), core limits and load in test_scheduler, frequencies in test_governor, and threads moved off isolated cores.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../env/clock.ts';
import { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import { defineEvent } from '../env/event-fn.ts';
import { Thread } from '../thread/index.ts';
import type { AppHandle } from './app-handle.ts';
import { createFabric, reactorState } from './fabric.ts';
import { forEachReactor } from './for-each-reactor.ts';
import { currentReactor, localKey, Reactor } from './reactor.ts';

/** Reactors of one application, whose turns and time the test decides. */
class Bench {
  readonly reactors: Reactor[];
  readonly faults: string[] = [];
  readonly clock = { nowUs: 1000 };

  constructor(cores: readonly number[] = [0, 1, 2]) {
    const fabric = createFabric({ cores, mainCore: cores[0], mailboxEvents: 64, heapBytes: 1 << 20 });
    const app: AppHandle = {
      mainCore: cores[0],
      stop: () => {},
      call: () => Promise.reject(new Error('no control calls here')),
    };
    const time = this.clock;
    const clock = (): Clock => ({
      nowUs: time.nowUs,
      tick() {
        this.nowUs = time.nowUs;
      },
      read() {
        this.tick();
        return this.nowUs;
      },
    });
    this.reactors = cores.map((core) => {
      const onFault = (error: unknown, what: string) => void this.faults.push(`${what}: ${(error as Error).message}`);
      return new Reactor({ fabric, core, clock: clock(), app, onFault });
    });
    for (const reactor of this.reactors) reactor.setState(reactorState.running);
  }

  /** One turn of one reactor, as the first of a slice, and what it returned. */
  turn(index: number): number {
    try {
      this.reactors[index].clock.read();
      return this.reactors[index].turn();
    } finally {
      current.reactor = null;
    }
  }

  /** Turns of all, in order, until none does anything. */
  settle(): void {
    do this.reactors.forEach((_, i) => void this.turn(i));
    while (this.reactors.some((reactor) => reactor.hasWork()));
  }

  end(): void {
    this.settle();
    assert.deepEqual(this.faults, []);
    for (const reactor of this.reactors) assert.deepEqual(reactor.heap.held(), []);
  }
}

const seen: number[][] = [];
const taken = () => seen.splice(0);
const note = defineEvent('test.reactor.note', (arg1, arg2, arg3) => {
  seen.push([currentReactor().core, arg1, arg2, arg3]);
});
const fail = defineEvent('test.reactor.fail', (arg1) => {
  throw new Error(`fails with ${arg1}`);
});

test('[test_create_reactor] a reactor begins initialized, empty, with state of its own; states only move forward', () => {
  const fabric = createFabric({ cores: [3, 5], mainCore: 3 });
  const app: AppHandle = { mainCore: 3, stop: () => {}, call: () => Promise.reject(new Error('no')) };
  const clock: Clock = { nowUs: 7, tick: () => {}, read: () => 7 };
  const reactor = new Reactor({ fabric, core: 5, clock, app, onFault: () => {} });
  assert.equal(reactor.state, reactorState.initialized);
  assert.equal(reactor.index, 1);
  assert.equal(reactor.hasWork(), false);
  assert.equal(reactor.nextPollUs(), Number.POSITIVE_INFINITY);
  assert.deepEqual(reactor.stats, { busyUs: 0, idleUs: 0, turns: 0, events: 0 });
  assert.throws(() => reactor.setState(reactorState.initialized), /state 1 cannot become 1/);
  assert.throws(() => new Reactor({ fabric, core: 4, clock, app, onFault: () => {} }), {
    code: 'EINVAL',
    message: /core 4 is not one of 3,5/,
  });
});

test('[test_init_reactors] every core of the mask has a reactor, and each reaches each', () => {
  const bench = new Bench([0, 2, 7]);
  for (const from of bench.reactors) for (const to of bench.reactors) from.send(to.core, note, from.core, 0, 0);
  bench.settle();
  assert.equal(taken().length, 9);
  for (const core of [1, 3, 8, -1]) {
    assert.throws(() => bench.reactors[0].send(core, note, 0, 0, 0), { code: 'EINVAL', message: /cores are 0,2,7/ });
  }
  const key = localKey('test.reactor.own', (reactor) => ({ core: reactor.core }));
  assert.deepEqual(
    bench.reactors.map((reactor) => reactor.local(key).core),
    [0, 2, 7],
  );
  assert.equal(bench.reactors[1].local(key), bench.reactors[1].local(key));
  bench.end();
});

test('[test_event_call] an event runs on its core, in its turn, once, in order, with its three arguments', () => {
  const bench = new Bench();
  const [r0, r1] = bench.reactors;
  r0.send(1, note, 1, -2, 0x7fffffff);
  r0.send(1, note, 0xffffffff, 0, 0);
  r1.send(1, note, 3, 0, 0);
  assert.equal(bench.turn(1), 1, 'its own is there at once, the others when their sender has had a turn');
  assert.deepEqual(taken(), [[1, 3, 0, 0]]);
  assert.equal(bench.turn(0), 0);
  assert.equal(r1.hasWork(), true);
  assert.equal(bench.turn(1), 2);
  assert.deepEqual(taken(), [
    [1, 1, -2, 0x7fffffff],
    [1, -1, 0, 0],
  ]);
  bench.end();
});

test('[test_event_call] an event that throws is a fault with its name; those after it run', () => {
  const bench = new Bench();
  bench.reactors[0].send(1, fail, 4, 0, 0);
  bench.reactors[0].send(1, note, 5, 0, 0);
  bench.settle();
  assert.deepEqual(taken(), [[1, 5, 0, 0]]);
  assert.deepEqual(bench.faults.splice(0), ['event "test.reactor.fail" on core 1: fails with 4']);
  bench.end();
});

test('a core that has stopped is refused at the sender', () => {
  const bench = new Bench();
  bench.reactors[1].setState(reactorState.shutdown);
  assert.throws(() => bench.reactors[0].send(1, note, 0, 0, 0), {
    code: 'ESHUTDOWN',
    message: /"test.reactor.note" for core 1/,
  });
  bench.end();
});

const onThread = defineEvent('test.reactor.on_thread', () => {
  const thread = current.thread as Thread;
  seen.push([currentReactor().core, thread.id]);
});

test('[test_schedule_thread] a thread starts on a core of its mask, spread over them, and is polled there', () => {
  const bench = new Bench();
  const [r0] = bench.reactors;
  const pinned = Thread.create(r0, { name: 'pinned', cpumask: new Cpuset([2]) });
  assert.equal(pinned.core, 2);
  const spread = [1, 2, 3, 4, 5, 6].map(() => Thread.create(r0, { cpumask: new Cpuset([0, 1, 2]) }).core);
  assert.deepEqual([...spread].sort(), [0, 0, 1, 1, 2, 2]);
  bench.settle();
  assert.equal(bench.reactors[2].shared.core(pinned.id), 2);
  const home = Thread.create(r0, { cpumask: new Cpuset([0]) }) as Thread;
  home.sendMsg(onThread, 0, 0);
  bench.settle();
  assert.deepEqual(taken(), [[0, home.id]]);
  assert.throws(() => Thread.create(r0, { cpumask: new Cpuset([9]) }), { code: 'EINVAL' });
});

test('[test_reschedule_thread] a thread that cannot move is told so, and stays', () => {
  const bench = new Bench();
  const thread = Thread.create(bench.reactors[0], { cpumask: new Cpuset([0, 1]) }) as Thread;
  if (thread.core === 0) {
    thread.run(() => thread.setCpumask(new Cpuset([0, 2])));
    assert.throws(() => thread.run(() => thread.setCpumask(new Cpuset([1]))), {
      code: 'ENOTSUP',
      message: /cannot move/,
    });
    assert.equal(`${thread.cpumask}`, `${new Cpuset([0, 2])}`);
  } else assert.fail('the first thread goes to the first core of its mask');
});

test('[test_bind_thread] a bound thread says so on every core', () => {
  const bench = new Bench();
  const thread = Thread.create(bench.reactors[0], { cpumask: new Cpuset([0]) }) as Thread;
  assert.equal(thread.isBound, false);
  thread.run(() => thread.bind(true));
  assert.equal(thread.isBound, true);
  assert.equal(bench.reactors[2].shared.facts(thread.id)?.bound, true);
  thread.run(() => thread.bind(false));
  assert.equal(bench.reactors[1].shared.facts(thread.id)?.bound, false);
});

test('[test_for_each_reactor] every core in order, the completion at home, the block freed there', () => {
  const bench = new Bench();
  const [, r1] = bench.reactors;
  let done = 0;
  forEachReactor(r1, note, 11, 22, (arg1, arg2) => {
    assert.equal(currentReactor(), r1);
    assert.deepEqual([arg1, arg2], [11, 22]);
    done++;
  });
  assert.deepEqual([r1.iterations, r1.heap.blocks], [1, 1]);
  bench.settle();
  assert.deepEqual(taken(), [
    [0, 11, 22, 0],
    [1, 11, 22, 0],
    [2, 11, 22, 0],
  ]);
  assert.deepEqual([done, r1.iterations, r1.heap.blocks], [1, 0, 0]);
  bench.reactors[0].markStopping();
  assert.throws(() => forEachReactor(r1, note, 0, 0, () => {}), { code: 'ESHUTDOWN' });
  bench.end();
});

test('[test_for_each_reactor] an iteration that cannot begin leaves no block', () => {
  const bench = new Bench();
  const [, r1] = bench.reactors;
  for (const reactor of bench.reactors) if (reactor !== r1) reactor.setState(reactorState.shutdown);
  let done = 0;
  forEachReactor(r1, note, 1, 0, () => done++);
  bench.turn(1);
  bench.turn(1);
  assert.deepEqual(taken(), [[1, 1, 0, 0]], 'cores that have stopped are left out');
  assert.deepEqual([done, r1.iterations, r1.heap.blocks], [1, 0, 0]);
});

test('[test_reactor_stats] busy is what turns did, idle is the rest, and all time is booked', () => {
  const bench = new Bench([0]);
  const [reactor] = bench.reactors;
  const work = defineEvent('test.reactor.work', (us) => {
    bench.clock.nowUs += us;
  });
  for (let i = 0; i < 5; i++) {
    reactor.send(0, work, 1000, 0, 0);
    bench.turn(0);
    bench.turn(0);
  }
  // A short one, and at once to sleep: the sleep is not its.
  reactor.send(0, work, 1, 0, 0);
  reactor.turn();
  assert.equal(reactor.prepareSleep(), true);
  bench.clock.nowUs += 50_000;
  reactor.awake();
  bench.turn(0);
  reactor.settle();
  assert.equal(reactor.stats.busyUs, 5001);
  assert.equal(reactor.stats.idleUs, 50_000);
  assert.equal(reactor.stats.events, 6);
  assert.equal(reactor.stats.turns, 12);
});

test('[test_mixed_workload] events, active and timed pollers and messages all have their share of a turn', () => {
  const bench = new Bench([0]);
  const [reactor] = bench.reactors;
  const thread = Thread.create(reactor, { name: 'mixed' }) as Thread;
  const story: string[] = [];
  const say = defineEvent('test.reactor.say', (n) => void story.push(`event ${n}`));
  const tell = defineEvent('test.reactor.tell', (n) => void story.push(`message ${n}`));
  const active = thread.registerPoller({ name: 'active', fn: () => story.push('active') && 1 });
  const timed = thread.registerPoller({ name: 'timed', periodUs: 100, fn: () => story.push('timed') && 1 });
  reactor.send(0, say, 1, 0, 0);
  thread.sendMsg(tell, 1, 0);
  assert.ok(bench.turn(0) > 0);
  assert.deepEqual(story.splice(0), ['event 1', 'message 1', 'active']);
  bench.clock.nowUs += 100;
  for (let i = 2; i < 12; i++) thread.sendMsg(tell, i, 0);
  reactor.send(0, say, 2, 0, 0);
  bench.turn(0);
  assert.deepEqual(story.splice(0), [
    'event 2',
    ...[2, 3, 4, 5, 6, 7, 8, 9].map((n) => `message ${n}`),
    'active',
    'timed',
  ]);
  bench.turn(0);
  assert.deepEqual(
    story.splice(0),
    ['message 10', 'message 11', 'active'],
    'a batch at a time, the rest in the next turn',
  );
  thread.run(() => {
    active.unregister();
    timed.unregister();
    thread.exit();
  });
  bench.end();
  assert.equal(thread.isExited, true);
});
