/**
 * raid0, concat and raid1 under power cuts. raid1: whatever the moment, the raid assembles, and every member that the superblock calls good holds what was acknowledged and flushed. Every prefix of the log of all
 * members' writes is looked at, twice: as it is, and with a part of what was in the disks' caches gone.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contents, setUpRaid } from './raid-setup.sim.ts';
import '../logwrites/logwrites-bdev.ts';
import { AfterPower, assemble, PowerRun, powerWorkload } from './raid-power.sim.ts';

const DATA_BLOCKS = 48;

/** Looks at every crash point; how many there were. */
async function cutEverywhere(seed: number, members: number): Promise<number> {
  const { run, log } = await powerWorkload('raid1', seed, members, DATA_BLOCKS);
  const { cluster, raids } = await setUpRaid();
  // What is rebuilt is of no interest here.
  raids.options.process_max_bandwidth_mb_sec = 1;
  raids.options.process_window_size_kb = 1;
  const after = await AfterPower.start(cluster, run, seed);
  const disks = Array.from({ length: members }, (_, i) => cluster.bdevs.get(`I${i}`));
  await after.replay(log, async (point) => {
    const { bytes, ids, at } = point;
    // In any order.
    const order = after.points % 2 === 0 ? disks : [...disks].reverse();
    const raid = await assemble(cluster, order, point);
    if (raid === null) return;
    const good = raid.slots.filter((slot) => slot.good);
    assert.ok(good.length > 0);
    for (const { index } of good) {
      const what = `${at}: member ${index}`;
      for (let block = 0; block < ids.length; block++) {
        after.check(block, after.idAt(bytes[index], block, what), ids, what);
      }
    }
    await cluster.until(raids.delete('R'));
    assert.deepEqual(raids.list(), []);
  });
  await cluster.close();
  return after.points;
}

test('2,000 and more power cuts, with two members and with three', async (t) => {
  let points = 0;
  for (let seed = 1; points < 2000; seed++) points += await cutEverywhere(seed, 2 + (seed % 2));
  t.diagnostic(`${points} crash points`);
  assert.ok(points >= 2000);
});

for (const level of ['raid0', 'concat']) {
  test(`${level}: whatever the moment, it is there once it was made, and holds what was flushed`, async () => {
    const { cluster: before, create } = await setUpRaid();
    const make = (names: string[]) => create(level, names, { superblock: true, strip_size_kb: 1 });
    const run = await PowerRun.start(before, make, 3, DATA_BLOCKS, 1);
    for (let round = 0; round < 8; round++) {
      await run.write(4);
      if (round % 3 === 1) await run.flush();
    }
    const log = await run.end();
    const { cluster, raids } = await setUpRaid();
    const after = await AfterPower.start(cluster, run, 1);
    const disks = Array.from({ length: 3 }, (_, i) => cluster.bdevs.get(`I${i}`));
    let unmade = 0;
    await after.replay(log, async (point) => {
      if ((await assemble(cluster, disks, point)) === null) {
        unmade++;
        return;
      }
      const bytes = await contents(cluster, 'R');
      for (let block = 0; block < point.ids.length; block++) {
        after.check(block, after.idAt(bytes, block, point.at, 0), point.ids, point.at);
      }
      await cluster.until(raids.delete('R'));
    });
    assert.ok(unmade > 0, 'it was cut while it was being made');
    await cluster.close();
  });
}
