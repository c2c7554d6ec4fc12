// The simulator itself: seeds replay, time is virtual, hangs are reported, threads are told apart.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { current } from '../env/current.ts';
import { fixtureUrl, visit, visitsOf } from '../event/app.fixture.ts';
import { forEachReactorAsync } from '../event/for-each-reactor.ts';
import { type Sim, SimHang, simulate } from './index.ts';

const base = { cores: [0, 1, 2], modules: [fixtureUrl] };

async function life(sim: Sim): Promise<{ hash: number; length: number }> {
  const rc = await sim.start(base, async (app) => {
    for (let i = 0; i < 5; i++) await forEachReactorAsync(app.reactor, visit);
    assert.deepEqual(await app.callAll(visitsOf, null), [5, 5, 5]);
    app.stop(0);
  });
  assert.equal(rc, 0);
  return { hash: sim.trace.hash, length: sim.trace.length };
}

test('the same seed is the same run, another seed is another', async () => {
  const hashes = new Set<number>();
  for (let seed = 1; seed <= 50; seed++) {
    const first = await simulate(seed, {}, life);
    assert.deepEqual(await simulate(seed, {}, life), first, `seed ${seed}`);
    hashes.add(first.hash);
  }
  assert.ok(hashes.size >= 49, `${hashes.size} different runs of 50`);
});

test('nothing of a simulation stays: current, Atomics, log', async () => {
  const load = Atomics.load;
  await simulate(1, {}, life);
  assert.equal(Atomics.load, load);
  assert.deepEqual(Object.getOwnPropertyDescriptor(current, 'reactor')?.value, null);
});

test('an application that waits for what nobody does is a hang, and the report says where each core is', async () => {
  await assert.rejects(
    simulate(3, {}, (sim) => sim.start(base, () => new Promise(() => {}))),
    (error: unknown) => {
      assert.ok(error instanceof SimHang);
      assert.match(error.message, /nothing can run any more/);
      assert.match(error.message, /core 1: asleep in its event loop.*wants its doorbell rung, no work/);
      return true;
    },
  );
});

test('time passes only in the simulation', async () => {
  const began = performance.now();
  await simulate(1, {}, async (sim) => {
    const before = sim.nowUs;
    await sim.sleep(3600e6);
    assert.ok(sim.nowUs - before >= 3600e6);
  });
  assert.ok(performance.now() - began < 60_000);
});
