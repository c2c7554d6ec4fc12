// Reactors under many schedules: events in order and none lost, iterations that come home, blocks that go home. Nobody stops the application before
// everything has arrived, so a lost wakeup is a hang, which the simulator reports.
import assert from 'node:assert/strict';
import { AllocSite } from '../env/alloc-site.ts';
import { defineEvent } from '../env/event-fn.ts';
import type { Ptr } from '../env/heap.ts';
import { struct } from '../env/struct.ts';
import { forEachSeed } from '../sim/for-each-seed.ts';
import type { Sim } from '../sim/simulate.ts';
import type { App } from './app.ts';
import { forEachReactor } from './for-each-reactor.ts';
import { currentReactor, localKey, type Reactor } from './reactor.ts';

/** What a test counts, for handlers that have no closure: one simulation runs at a time. */
let left = 0;
let finished: () => void = () => {};
const countDown = (): void => {
  if (--left === 0) finished();
};
const allDone = (count: number): Promise<void> =>
  new Promise((resolve) => {
    left = count;
    finished = resolve;
  });

function someCores(sim: Sim): number[] {
  return sim.random.pick([[0], [0, 1], [0, 1, 2], [2, 3, 5, 7]]);
}

const sent = localKey('test.sim.sent', () => new Map<number, number>());
const received = localKey('test.sim.received', () => new Map<number, number>());
const numbered = defineEvent('test.sim.numbered', (from, seq, hops) => {
  const reactor = currentReactor();
  const expected = (reactor.local(received).get(from) ?? 0) + 1;
  assert.equal(seq, expected, `event from core ${from} to core ${reactor.core}`);
  reactor.local(received).set(from, seq);
  if (hops > 0) sendNumbered(reactor, reactor.cores[(reactor.index + hops) % reactor.cores.length], hops - 1);
  countDown();
});
function sendNumbered(reactor: Reactor, to: number, hops: number): void {
  const seq = (reactor.local(sent).get(to) ?? 0) + 1;
  reactor.local(sent).set(to, seq);
  reactor.send(to, numbered, reactor.core, seq, hops);
}

forEachSeed(
  'events of a pair of cores arrive in order, and none is left behind by a sleeping core',
  1000,
  async (sim) => {
    const { random } = sim;
    const cores = someCores(sim);
    const rc = await sim.start({ cores }, async (app) => {
      const bursts = Array.from({ length: 1 + random.int(12) }, () => ({
        from: random.pick(cores),
        to: random.pick(cores),
        us: random.int(3) * random.int(2000),
        events: 1 + random.int(random.pick([1, 4, 30])),
        hops: random.int(3),
      }));
      const done = allDone(bursts.reduce((sum, burst) => sum + burst.events * (burst.hops + 1), 0));
      for (const { from, to, us, events, hops } of bursts) {
        sim.at(from, us, (reactor) => {
          for (let i = 0; i < events; i++) sendNumbered(reactor, to, hops);
        });
      }
      await done;
      app.stop(0);
    });
    assert.equal(rc, 0, 'a handler that fails makes it 1');
  },
);

const visits = localKey('test.sim.visits', () => new Map<number, number>());
const visitCounted = defineEvent('test.sim.visit', (id) => {
  const mine = currentReactor().local(visits);
  mine.set(id, (mine.get(id) ?? 0) + 1);
});

forEachSeed(
  'iterations of several cores at once visit every core once, in order, and complete at home',
  1000,
  async (sim) => {
    const { random } = sim;
    const cores = someCores(sim);
    const count = 1 + random.int(20);
    const reactors: Reactor[] = [];
    const rc = await sim.start({ cores }, async (app) => {
      const done = allDone(count);
      for (let id = 0; id < count; id++) {
        sim.at(random.pick(cores), random.int(500), (reactor) => {
          reactors.push(reactor);
          forEachReactor(reactor, visitCounted, id, -id - 1, (arg1, arg2) => {
            assert.equal(currentReactor(), reactor, 'the completion runs on the core that asked');
            assert.deepEqual([arg1, arg2], [id, -id - 1]);
            countDown();
          });
        });
      }
      await done;
      for (const reactor of reactors) assert.equal(reactor.iterations, 0);
      for (const reactor of reactors) assert.equal(reactor.heap.blocks, 0);
      app.stop(0);
    });
    assert.equal(rc, 0);
    for (const reactor of reactors) for (let id = 0; id < count; id++) assert.equal(reactor.local(visits).get(id), 1);
  },
);

const Parcel = struct('test_parcel', { owner: 'i32', hops: 'i32', stamp: 'i32' });
const parcelSite = new AllocSite('test.sim.parcel');
const parcel = defineEvent('test.sim.parcel', (word, step) => {
  const ptr = (word >>> 0) as Ptr;
  const reactor = currentReactor();
  const hops = Parcel.hops.get(reactor.heap, ptr);
  assert.equal(
    Parcel.stamp.get(reactor.heap, ptr),
    Parcel.owner.get(reactor.heap, ptr) * 1000 + hops,
    'nobody else writes it',
  );
  if (hops > 0) {
    Parcel.hops.set(reactor.heap, ptr, hops - 1);
    Parcel.stamp.set(reactor.heap, ptr, Parcel.owner.get(reactor.heap, ptr) * 1000 + hops - 1);
    reactor.send(reactor.cores[(reactor.index + step) % reactor.cores.length], parcel, ptr, step, 0);
    return;
  }
  reactor.heap.release(ptr);
  countDown();
});
function sendParcel(reactor: Reactor, hops: number, step: number): void {
  const ptr = Parcel.allocIn(reactor.heap, parcelSite);
  Parcel.owner.set(reactor.heap, ptr, reactor.core);
  Parcel.hops.set(reactor.heap, ptr, hops);
  Parcel.stamp.set(reactor.heap, ptr, reactor.core * 1000 + hops);
  reactor.send(reactor.cores[(reactor.index + step) % reactor.cores.length], parcel, ptr, step, 0);
}

forEachSeed('blocks released on any core come home; at the end no heap holds anything', 1000, async (sim) => {
  const { random } = sim;
  const cores = someCores(sim);
  const rc = await sim.start({ cores }, async (app: App) => {
    const count = 1 + random.int(40);
    const done = allDone(count);
    for (let i = 0; i < count; i++) {
      const [hops, step] = [random.int(6), random.int(cores.length)];
      sim.at(random.pick(cores), random.int(2000), (reactor) => sendParcel(reactor, hops, step));
    }
    // The stop comes while the last blocks are on their way home.
    await done;
    app.stop(0);
  });
  assert.equal(rc, 0, 'a leak would make it 1');
});
