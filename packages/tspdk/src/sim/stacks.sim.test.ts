// Random stacks of disks under random I/O of every kind: see stack-load.sim.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachSeed } from './for-each-seed.ts';
import { simulate } from './simulate.ts';
import { stackUnderLoad } from './stack-load.sim.ts';

forEachSeed('a random stack of disks under random I/O', 20, stackUnderLoad);

test('one seed is one run', async () => {
  for (let seed = 1; seed <= 2; seed++) {
    const traces: string[] = [];
    for (let i = 0; i < 2; i++) {
      await simulate(seed, {}, async (sim) => {
        await stackUnderLoad(sim);
        traces.push(`${sim.trace.hash} ${sim.trace.length}`);
      });
    }
    assert.equal(traces[1], traces[0], `seed ${seed}`);
  }
});
