// Lightweight threads on simulated reactors, with mailboxes, sleep and wakeups: what a send accepted runs once and in order, iterations come home,
// timed pollers wake their core, threads exit. thread/thread.sim.ts has random programs over the thread layer alone.
import assert from 'node:assert/strict';
import { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import { defineEvent } from '../env/event-fn.ts';
import { currentReactor } from '../event/reactor.ts';
import {
  currentThread,
  exitThread,
  forEachThread,
  getCount,
  localThreads,
  sendCriticalMsg,
  Thread,
  trySendMsg,
} from '../thread/index.ts';
import { forEachSeed } from './for-each-seed.ts';
import type { Sim } from './simulate.ts';

/** What this simulation's threads have done; handlers have no closure, and one simulation runs at a time. */
interface Tally {
  readonly sim: Sim;
  /** By "core>thread": messages accepted, and run. */
  readonly sent: Map<string, number>;
  readonly run: Map<string, number>;
  readonly ids: number[];
  iterations: number;
  completed: number;
  critical: number;
  criticalRan: number;
  timers: number;
  ticks: number;
}
let tally: Tally;

const message = defineEvent('test.sim.threads.message', (from, seq) => {
  const thread = currentThread() as Thread;
  assert.equal(thread.core, currentReactor().core);
  const pair = `${from}>${thread.id}`;
  assert.equal(seq, (tally.run.get(pair) ?? 0) + 1, `messages of ${pair} run in order`);
  tally.run.set(pair, seq);
  if (tally.sim.random.chance(0.4)) act();
});
const visit = defineEvent('test.sim.threads.visit', () => {
  assert.ok(currentThread() !== null);
});
const urgent = defineEvent('test.sim.threads.urgent', () => {
  tally.criticalRan++;
});

/** One random act of whoever runs: a thread, or control code of a reactor. */
function act(): void {
  const { random } = tally.sim;
  const choice = random.int(10);
  if (choice < 6) send(random.pick(tally.ids));
  else if (choice < 7 && sendCriticalMsg(random.pick(tally.ids), urgent) === 0) tally.critical++;
  else if (choice < 8 && current.thread !== null) iterate();
  else if (choice < 9 && current.thread !== null) tick(currentThread() as Thread);
}

function send(id: number): void {
  const { core } = currentReactor();
  const pair = `${core}>${id}`;
  const seq = (tally.sent.get(pair) ?? 0) + 1;
  if (trySendMsg(id, message, core, seq) === 0) tally.sent.set(pair, seq);
}

function iterate(): void {
  const home = currentThread();
  tally.iterations++;
  forEachThread(visit, 0, () => {
    assert.equal(currentThread(), home);
    tally.completed++;
  });
}

/** A timed poller that ends itself: nothing else may wake its core. */
function tick(thread: Thread): void {
  if (!thread.isRunning) return;
  let left = 1 + tally.sim.random.int(3);
  tally.timers += left;
  const poller = thread.registerPoller({
    name: 'tick',
    periodUs: 1 + tally.sim.random.int(5000),
    fn: () => {
      tally.ticks++;
      if (--left === 0) poller.unregister();
      return 1;
    },
  });
}

forEachSeed('threads of several cores: messages, iterations, timers and exits, none lost', 1000, async (sim) => {
  const { random } = sim;
  const cores = random.pick([[0], [0, 1], [0, 1, 2, 3]]);
  tally = {
    sim,
    sent: new Map(),
    run: new Map(),
    ids: [],
    iterations: 0,
    completed: 0,
    critical: 0,
    criticalRan: 0,
    timers: 0,
    ticks: 0,
  };
  const rc = await sim.start({ cores }, async (app) => {
    for (let i = 1 + random.int(6); i > 0; i--) {
      tally.ids.push(Thread.create(app.reactor, { cpumask: new Cpuset([random.pick(cores)]) }).id);
    }
    const span = random.pick([1, 200, 5000]);
    for (let i = 0; i < 20; i++) sim.at(random.pick(cores), random.int(span), act);
    for (const core of cores) {
      sim.at(core, random.int(span), (reactor) => {
        for (const thread of localThreads(reactor)) thread.run(() => act());
      });
    }
    if (random.chance(0.5))
      sim.at(cores[0], random.int(span), () => void trySendMsg(random.pick(tally.ids), exitThread, 0, 0));
    await sim.sleep(span + 100_000);
    assert.equal(tally.completed, tally.iterations, 'iterations have come home');
    assert.equal(tally.criticalRan, tally.critical, 'a critical message wakes its core');
    assert.equal(tally.ticks, tally.timers, 'a timed poller wakes its core');
    app.stop(0);
  });
  assert.equal(rc, 0);
  assert.deepEqual([...tally.run].sort(), [...tally.sent].sort(), 'what was accepted has run');
  assert.equal(getCount(sim.platform.main.reactor as never), 0);
  assert.deepEqual(
    sim.logs.filter((record) => record.level !== 'NOTICE').map((record) => record.text),
    [],
  );
});
