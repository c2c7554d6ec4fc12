/** Superblocks whose CRC is right and that say what no raid could live with: refused when they are read, before anything is written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PLUGGABLE_BLOCKS as BLOCKS, memberStates, Pluggable, setUpPluggable, superblockOf } from './raid-setup.sim.ts';
import { encodeRaidSuperblock, RAID_SB_MISSING, type RaidSuperblock } from './raid-superblock.ts';

/** A raid, deleted, whose members come back with what `change` makes of their superblock. */
async function cameBack(level: string, count: number, change: (sb: RaidSuperblock) => Partial<RaidSuperblock>) {
  const all = await setUpPluggable(count, level);
  const { disks, call, settle } = all;
  await call('bdev_raid_delete', { name: 'R' });
  for (const disk of disks) await disk.pull();
  for (const disk of disks) {
    const sb = (await superblockOf(disk)) as RaidSuperblock;
    disk.memory().set(encodeRaidSuperblock({ ...sb, ...change(sb) }));
  }
  const before = await Promise.all(disks.map((disk) => disk.contents()));
  for (const disk of disks) await disk.plug();
  await settle();
  const untouched = async () => {
    for (const [i, disk] of disks.entries())
      assert.equal(Buffer.compare(await disk.contents(), before[i]), 0, disk.name);
  };
  return { ...all, untouched };
}

const movedTo = (dataOffset: number, slot: number) => (sb: RaidSuperblock) => ({
  baseBdevs: sb.baseBdevs.map((each) => (each.slot === slot ? { ...each, dataOffset } : each)),
});

test('data that would begin in the superblock', async () => {
  for (const level of ['raid0', 'raid1', 'concat']) {
    const { cluster, list, untouched } = await cameBack(level, 2, movedTo(0, 0));
    assert.deepEqual(await list('online'), [], level);
    await untouched();
    await cluster.close();
  }
  // Right behind it is early, and possible.
  const { cluster, list } = await cameBack('raid1', 2, movedTo(1, 0));
  assert.equal((await list('online'))[0].num_base_bdevs_discovered, 2);
  await cluster.close();
});

test('nor is a disk added in a place whose data would', async () => {
  const { cluster, list, call, disks } = await cameBack('raid1', 3, (sb) => ({
    baseBdevs: sb.baseBdevs.map((each) =>
      each.slot === 0
        ? { ...each, dataOffset: 0, state: RAID_SB_MISSING, uuid: `${'0'.repeat(8)}-0000-0000-0000-${'0'.repeat(12)}` }
        : each,
    ),
  }));
  assert.equal((await list('online'))[0].num_base_bdevs_discovered, 2);
  await Pluggable.make(cluster, 'N', BLOCKS);
  await assert.rejects(call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: 'N' }), {
    code: 'EINVAL',
    message: /"N".*data.*block 0.*superblock/,
  });
  assert.equal(memberStates(await superblockOf(disks[1]))?.[0], RAID_SB_MISSING);
  await cluster.close();
});

test('a size that is no whole stripes', async () => {
  const { cluster, list, untouched } = await cameBack('raid5f', 3, () => ({ raidSize: 65 }));
  assert.deepEqual(await list('online'), []);
  await untouched();
  await cluster.close();
});

test('a sequence number that could not be counted up', async () => {
  for (const seqNumber of [2 ** 52 + 1, Number.MAX_SAFE_INTEGER - 1]) {
    const { cluster, list, disks, untouched } = await cameBack('raid1', 3, () => ({ seqNumber }));
    assert.deepEqual(await list(), []);
    await untouched();
    await disks[0].pull();
    await cluster.close();
  }
});
