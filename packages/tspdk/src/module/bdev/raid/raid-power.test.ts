/**
 * raid1 under power cuts: whatever the moment, the raid assembles, and every member that the superblock calls good holds what was acknowledged and flushed. Every prefix of the log of all
 * members' writes is looked at, twice: as it is, and with a part of what was in the disks' caches gone.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setUpRaid } from './raid-setup.sim.ts';
import '../logwrites/logwrites-bdev.ts';
import { AfterPower, powerWorkload } from './raid-power.sim.ts';
import { examineRaidMember } from './raid-registry.ts';

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
  await after.replay(log, async ({ bytes, ids, at }) => {
    // In any order.
    const order = after.points % 2 === 0 ? disks : [...disks].reverse();
    await cluster.until(Promise.all(order.map((bdev) => examineRaidMember(bdev, cluster.reactors[0]))));
    const [raid] = raids.list('online');
    assert.ok(raid !== undefined, `${at}: it assembles`);
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
