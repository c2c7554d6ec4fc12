/**
 * raid1 under power cuts: whatever the moment, the raid assembles, and every member that the superblock calls good holds what was acknowledged and flushed. Every prefix of the log of all
 * members' writes is looked at, twice: as it is, and with a part of what was in the disks' caches gone.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allGood, setUpRaid } from './raid-setup.sim.ts';
import '../logwrites/logwrites-bdev.ts';
import { AfterPower, DATA_AT, PowerRun } from './raid-power.sim.ts';
import { examineRaidMember } from './raid-registry.ts';

const DATA_BLOCKS = 48;

/** Writes, a member that fails, one that is pulled and comes back, rebuilds under load. */
async function workload(seed: number, members: number): Promise<{ run: PowerRun; log: Uint8Array }> {
  const { cluster, create, raids } = await setUpRaid();
  raids.options.process_window_size_kb = 1;
  const make = (names: string[]) => create('raid1', names, { superblock: true });
  const run = await PowerRun.start(cluster, make, members, DATA_BLOCKS, 1, seed);
  const { random } = run;
  const some = async (rounds: number): Promise<void> => {
    for (let i = 0; i < rounds; i++) {
      await run.write(1 + random.int(4));
      if (random.chance(0.4)) await run.flush();
    }
  };
  for (let turn = 0; turn < 3; turn++) {
    await some(6);
    const victim = random.int(members);
    if (random.chance(0.5)) {
      await run.failNextWrite(victim);
      await run.write(4);
      if (run.raid.slots[victim].base !== null) await run.pull(victim);
      else await run.pull(victim).catch(() => {});
    } else await run.pull(victim);
    await cluster.untilTrue(() => run.raid.slots[victim].base === null);
    await some(6);
    await run.plug(victim);
    await some(4);
    await allGood(cluster);
    await some(3);
  }
  return { run, log: await run.end() };
}

/** Looks at every crash point; how many there were. */
async function cutEverywhere(seed: number, members: number): Promise<number> {
  const { run, log } = await workload(seed, members);
  const { cluster, raids } = await setUpRaid();
  // What is rebuilt is of no interest here.
  raids.options.process_max_bandwidth_mb_sec = 1;
  raids.options.process_window_size_kb = 1;
  const after = await AfterPower.start(cluster, run, seed);
  const disks = Array.from({ length: members }, (_, i) => cluster.bdevs.get(`I${i}`));
  await after.replay(log, async (bytes, ids, at) => {
    // In any order.
    const order = after.points % 2 === 0 ? disks : [...disks].reverse();
    await cluster.until(Promise.all(order.map((bdev) => examineRaidMember(bdev, cluster.reactors[0]))));
    const [raid] = raids.list('online');
    assert.ok(raid !== undefined, `${at}: it assembles`);
    const good = raid.slots.filter((slot) => slot.good);
    assert.ok(good.length > 0);
    for (const slot of good) after.check(bytes[slot.index], DATA_AT, ids, `${at}: member ${slot.index}`);
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
