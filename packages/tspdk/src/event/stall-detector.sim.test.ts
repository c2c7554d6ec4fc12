// The stall detector, with time that only the test moves: what held a core is named, and what did not is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineEvent } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import { type Sim, simulate } from '../sim/simulate.ts';
import { Thread } from '../thread/index.ts';
import type { App } from './app.ts';
import { currentReactor } from './reactor.ts';

/** The simulation that runs, for handlers without closures. */
let now: Sim;
const hold = defineEvent('test.stall.hold', (ms) => now.advance(ms * 1000));
const quick = defineEvent('test.stall.quick', () => now.advance(10));

const warnings = (): string[] => now.logs.filter((record) => record.level === 'WARNING').map((record) => record.text);

/** One reactor, whose clock moves only by what events and this function do. */
function onOneCore(body: (app: App) => Promise<void>): Promise<void> {
  return simulate(1, { preempt: 0, readUs: 1, roundUs: 1 }, async (sim) => {
    now = sim;
    const rc = await sim.start({ cores: [0], idlePollUs: 5 }, async (app) => {
      await sim.sleep(20_000);
      await body(app);
      app.stop(0);
    });
    assert.equal(rc, 0);
  });
}

test('an event that holds the core is named the first time, with the place where it was defined', () =>
  onOneCore(async (app) => {
    app.reactor.send(0, hold, limits.stall_ms + 50, 0, 0);
    await now.sleep(10_000);
    assert.equal(warnings().length, 1);
    assert.match(
      warnings()[0],
      /reactor 0 did not come back for 15\d ms \(limit 100\): it ran event "test.stall.hold" \(event\/stall-detector\.sim\.test\.js:\d+\), and polled app_thread/,
    );
  }));

test('among many it is named alone when it happens again, and is not repeated for each time', () =>
  onOneCore(async (app) => {
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 10; i++) app.reactor.send(0, i === 4 ? hold : quick, limits.stall_ms + 50, 0, 0);
      await now.sleep(100_000);
    }
    const [first, second, ...more] = warnings();
    assert.match(first, /it ran event "test.stall.quick" \(\S+\) ×9, event "test.stall.hold"/);
    assert.match(second, /^event "test.stall.hold" \(\S+\) held reactor 0 for 15\d ms/);
    assert.deepEqual(more, []);
    assert.equal(app.reactor.stalls.count, 5);
  }));

test('a poller and a message are named with their thread while stalls are watched for', () =>
  onOneCore(async (app) => {
    const thread = Thread.create(app.reactor, { name: 'worker' }) as Thread;
    let calls = 0;
    const poller = thread.registerPoller({
      name: 'sluggish',
      periodUs: 200_000,
      fn: () => {
        if (calls++ < 2) now.advance(150_000);
        return 1;
      },
    });
    await now.sleep(2_000_000);
    thread.sendMsg(hold, 300, 0);
    await now.sleep(1_000_000);
    const lines = warnings();
    assert.match(lines[0], /it ran no event, and polled app_thread, worker/);
    assert.match(
      lines[1],
      /^poller "sluggish" of thread "worker" \(registered at event\/stall-detector\.sim\.test\.js:\d+\) held reactor 0/,
    );
    assert.match(lines[2], /^message "test.stall.hold" \(\S+\) to thread "worker" held reactor 0 for 30\d ms/);
    assert.equal(lines.length, 3);
    thread.run(() => poller.unregister());
  }));

test('when no single thing took long, that is said; when nothing did, nothing is', () =>
  onOneCore(async (app) => {
    for (let i = 0; i < 30; i++) app.reactor.send(0, hold, 4, 0, 0);
    await now.sleep(1_000_000);
    assert.match(warnings()[0], /did not come back for 12\d ms .*test.stall.hold" \(\S+\) ×30/);
    for (let i = 0; i < 30; i++) app.reactor.send(0, hold, 4, 0, 0);
    await now.sleep(1_000_000);
    assert.match(warnings()[1], /though nothing that it ran took that long/);
    for (let i = 0; i < 20; i++) app.reactor.send(0, hold, 4, 0, 0);
    await now.sleep(limits.stall_watch_ms * 1000);
    assert.equal(warnings().length, 2);
    // A turn that is quick ends the watch, once its time is over.
    app.reactor.send(0, quick, 0, 0, 0);
    await now.sleep(1000);
    assert.equal(app.reactor.stallWatch, null);
  }));

test('when the machine gave the core to others, that is no stall', () =>
  onOneCore(async (app) => {
    spins = 0;
    app.reactor.send(0, spin, 0, 0, 0);
    await now.sleep(500);
    app.reactor.send(0, stolen, 150, 0, 0);
    await now.sleep(1_000_000);
    assert.deepEqual(warnings(), []);
    assert.equal(app.reactor.stallWatch, null);
    assert.equal(app.reactor.stalls.count, 0);
  }));
const stolen = defineEvent('test.stall.stolen', (ms) => now.scheduler.time.skip(ms * 1000));

test('what takes long outside of turns is told apart; sleep is no stall', () =>
  onOneCore(async (app) => {
    await now.sleep(60_000_000);
    assert.deepEqual(warnings(), []);
    // A callback that adds work and then holds the thread: the reactor is awake and gets no turn.
    now.at(0, 0, (reactor) => {
      reactor.send(0, quick, 0, 0, 0);
      now.advance(1000);
    });
    await now.sleep(10);
    spins = 0;
    app.reactor.send(0, spin, 0, 0, 0);
    now.at(0, 10, () => now.advance(200_000));
    await now.sleep(1_000_000);
    assert.match(warnings()[0], /reactor 0 got no turn for 20\d ms: a promise, timer or callback on its thread/);
    assert.equal(warnings().length, 1);
  }));
let spins = 0;
const spin = defineEvent('test.stall.spin', () => {
  if (spins++ < 20_000) currentReactor().send(0, spin, 0, 0, 0);
});

test('busy and idle time: what turns did is busy, everything else, sleep above all, is idle', () =>
  onOneCore(async (app) => {
    const { reactor } = app;
    reactor.settle();
    const before = { ...reactor.stats, atUs: now.nowUs };
    for (let i = 0; i < 20; i++) {
      app.reactor.send(0, hold, 5, 0, 0);
      await now.sleep(100_000);
    }
    reactor.settle();
    const busyUs = reactor.stats.busyUs - before.busyUs;
    const idleUs = reactor.stats.idleUs - before.idleUs;
    assert.ok(Math.abs(busyUs + idleUs - (now.nowUs - before.atUs)) < 100, 'all time is booked');
    // 20 events of 5 ms; a little more, as idle turns that share a reading with a busy one count in part.
    assert.ok(busyUs >= 99_000 && busyUs < 110_000, `${busyUs} µs busy`);
  }));
