/**
 * Members whose superblock is damaged, as by a power cut while it was written: an array that others cannot have gone on without comes up as if nothing was, another says what is wrong and what goes on
 * (raid-quorum.ts). And members without a superblock that the others know.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { open } from '../../../bdev/stub-setup.sim.ts';
import { type LogRecord, log } from '../../../log/index.ts';
import {
  allGood,
  contents,
  fill,
  memberStates,
  PLUGGABLE_BLOCKS,
  Pluggable,
  setUpPluggable,
  superblockOf,
} from './raid-setup.sim.ts';

const DATA = 2048 * 512;
/** In the entry of a member. */
const ENTRY = 300;

/** What is logged from now on. */
function logged(t: TestContext): string[] {
  const lines: string[] = [];
  log.open(({ text }: LogRecord) => void lines.push(text));
  t.after(() => log.close());
  return lines;
}

/** A raid that is gone, all its disks pulled; `values` is what it was filled with. */
async function ended(count: number, level?: string) {
  const all = await setUpPluggable(count, level);
  const { cluster, disks, call } = all;
  await fill(cluster, 5);
  await call('bdev_raid_delete', { name: 'R' });
  for (const disk of disks) await disk.pull();
  const plug = async (order: readonly number[]) => {
    for (const i of order) {
      await disks[i].plug();
      await all.settle();
    }
  };
  const only = async () => {
    const infos = await all.list();
    assert.equal(infos.length, 1);
    return infos[0];
  };
  const add = (base_bdev: string) => call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev });
  return { ...all, plug, only, add };
}

test('raid1: it waits, tells which member is damaged and what to do; by wish it goes on with the others and rebuilds that one', async (t) => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const { cluster, disks, plug, only, add } = await ended(2);
    disks[1].memory()[ENTRY] ^= 1;
    disks[1].memory().fill(9, DATA);
    const lines = logged(t);
    await plug(order);
    const error =
      'damaged superblock: the CRC is wrong; it says sequence number 1, the others 1; bdev_raid_add_base_bdev rebuilds it from the others';
    const { state, num_base_bdevs_discovered, base_bdevs_list } = await only();
    assert.deepEqual([state, num_base_bdevs_discovered], ['configuring', 1]);
    assert.deepEqual(
      base_bdevs_list.map(({ name, is_configured, error }) => [name, is_configured, error]),
      [
        ['P0', true, undefined],
        ['P1', false, error],
      ],
    );
    assert.ok(lines.includes(`raid "R" is configuring: base bdev "P1": ${error}`), lines.join('\n'));
    assert.throws(() => open(cluster, 'P1'), { code: 'EPERM' });
    await add('P1');
    log.close();
    await allGood(cluster);
    assert.equal((await only()).state, 'online');
    assert.deepEqual(
      (await only()).base_bdevs_list.map(({ error }) => error),
      [undefined, undefined],
    );
    assert.deepEqual((await disks[1].contents()).subarray(DATA), new Uint8Array(64 * 512).fill(5));
    assert.deepEqual(memberStates(await superblockOf(disks[1])), [1, 1]);
    await cluster.close();
  }
});

test('a level that needs more members than are damaged comes up with all of them, and their superblocks are whole again', async (t) => {
  for (const [level, count] of [
    ['raid0', 2],
    ['concat', 3],
    ['raid5f', 3],
    ['raid5f', 4],
  ] as const) {
    for (const first of [0, 1]) {
      const { cluster, disks, plug, only, list, raids } = await ended(count, level);
      disks[1].memory()[ENTRY] ^= 1;
      const lines = logged(t);
      const order = disks.map((_, i) => (i + first) % count);
      await plug(order.slice(0, -1));
      assert.deepEqual(await list('online'), [], 'one is not there yet');
      await plug(order.slice(-1));
      log.close();
      const info = await only();
      assert.deepEqual([info.state, info.num_base_bdevs_discovered], ['online', count]);
      assert.equal(raids.list()[0].process, null, 'nothing is rebuilt');
      assert.ok(
        lines.includes('raid "R": "P1" had a damaged superblock, and is what the others say'),
        lines.join('\n'),
      );
      const { sizeBytes } = cluster.bdevs.get('R');
      assert.deepEqual(await contents(cluster, 'R'), new Uint8Array(sizeBytes).fill(5));
      assert.equal((await superblockOf(disks[1]))?.seqNumber, 2);
      await cluster.close();
    }
  }
});

test('damaged members that could have gone on without the others, and none to spare: nobody can say', async () => {
  const { cluster, disks, plug, only, add } = await ended(3, 'raid5f');
  for (const disk of disks.slice(1)) disk.memory()[ENTRY] ^= 1;
  await plug([0, 1, 2]);
  const { state, num_base_bdevs_discovered, base_bdevs_list } = await only();
  assert.deepEqual([state, num_base_bdevs_discovered], ['configuring', 1]);
  assert.match(base_bdevs_list[2].error ?? '', /the others 1$/);
  await assert.rejects(add('P1'), { code: 'EINVAL', message: 'raid "R" does not work without the data of bdev "P1"' });
  assert.equal((await only()).state, 'configuring');
  await cluster.close();
});

test('one that is degraded already does not believe damaged members that one which is not there may have gone on with', async () => {
  const { cluster, disks, plug, only, call, raids } = await setUpDegraded();
  await call('bdev_raid_delete', { name: 'R' });
  for (const disk of disks.slice(0, 2)) await disk.pull();
  disks[1].memory()[ENTRY] ^= 1;
  await plug([0, 1]);
  assert.equal((await only()).state, 'configuring');
  // The one that was missing knows nothing newer.
  await plug([2]);
  assert.equal((await only()).state, 'online');
  await allGood(cluster);
  assert.equal(raids.list()[0].slots.length, 3);
  assert.deepEqual(await contents(cluster, 'R'), new Uint8Array(128 * 512).fill(6));
  await cluster.close();
});

/** A raid5f of three without its last. */
async function setUpDegraded() {
  const all = await ended(3, 'raid5f');
  await all.plug([0, 1, 2]);
  await all.disks[2].pull();
  await all.cluster.untilTrue(() => all.raids.list()[0].slots[2].base === null);
  await fill(all.cluster, 6);
  return all;
}

test('of several damaged members each is given up on its own; a newer superblock changes nothing about that', async () => {
  const { cluster, disks, plug, only, add } = await ended(3);
  for (const disk of disks.slice(1)) {
    disk.memory()[ENTRY] ^= 1;
    disk.memory().fill(9, DATA);
  }
  await plug([2, 0, 1]);
  await add('P2');
  assert.equal((await only()).state, 'configuring');
  await add('P1');
  assert.equal((await only()).state, 'online');
  await allGood(cluster);
  for (const disk of disks) assert.deepEqual((await disk.contents()).subarray(DATA), new Uint8Array(64 * 512).fill(5));
  await cluster.close();
});

test('a damaged member that the newest superblock does not call good is rebuilt without a word, before the raid starts and after', async () => {
  for (const order of [
    [0, 1, 2],
    [2, 0, 1],
    [1, 2, 0],
  ]) {
    const { cluster, disks, plug, call, raids } = await ended(3);
    await plug([0, 1, 2]);
    // P2 alone knows that it is the only one.
    for (const i of [1, 0]) {
      await disks[i].pull();
      await cluster.untilTrue(() => raids.list()[0].slots[i].base === null);
    }
    await fill(cluster, 7);
    await call('bdev_raid_delete', { name: 'R' });
    await disks[2].pull();
    disks[1].memory()[ENTRY] ^= 1;
    await plug(order);
    await allGood(cluster);
    for (const disk of disks)
      assert.deepEqual((await disk.contents()).subarray(DATA), new Uint8Array(64 * 512).fill(7));
    await cluster.close();
  }
});

test('one that says it is newer than the raid that is online is left alone', async (t) => {
  const { cluster, disks, plug, only, add } = await ended(3);
  await plug([0, 1, 2]);
  await disks[1].pull();
  disks[1].memory()[130] ^= 1;
  const lines = logged(t);
  await plug([1]);
  log.close();
  assert.match(
    lines.join('\n'),
    /"P1".*CRC is wrong; it says sequence number 65538, raid "R", which is online, 3; bdev_raid_add_base_bdev rebuilds it/,
  );
  assert.equal((await only()).num_base_bdevs_discovered, 2);
  open(cluster, 'P1').close();
  await add('P1');
  await allGood(cluster);
  await cluster.close();
});

test('a damaged member that was there before does not keep the others out', async (t) => {
  const { cluster, disks, plug, only, call } = await ended(4, 'raid5f');
  await plug([0, 1, 2, 3]);
  await call('bdev_raid_delete', { name: 'R' });
  disks[1].memory()[ENTRY] ^= 1;
  // And one that cannot be read at all: its superblock says something impossible.
  disks[2].memory()[12] = 1;
  disks[2].memory()[13] = 0;
  await disks[0].pull();
  const lines = logged(t);
  await plug([0]);
  log.close();
  const info = await only();
  assert.deepEqual([info.state, info.num_base_bdevs_discovered], ['configuring', 2]);
  assert.deepEqual(
    info.base_bdevs_list.map(({ is_configured }) => is_configured),
    [true, false, false, true],
  );
  assert.ok(
    lines.some((line) => line.startsWith('bdev "P2": RAID superblock')),
    lines.join('\n'),
  );
  await cluster.close();
});

test('a member that has lost its superblock is given back to a raid that waits for it; nothing else is', async () => {
  const { cluster, disks, plug, only, add } = await ended(2);
  disks[1].memory().fill(0);
  const other = await Pluggable.make(cluster, 'P9', PLUGGABLE_BLOCKS);
  await plug([1, 0]);
  const { state, base_bdevs_list } = await only();
  assert.deepEqual([state, base_bdevs_list[1].name, base_bdevs_list[1].uuid], ['configuring', null, disks[1].uuid]);
  await assert.rejects(add(other.name), { code: 'EAGAIN', message: /bdev "P9" is none that it lacks/ });
  await add('P1');
  await allGood(cluster);
  assert.deepEqual((await disks[1].contents()).subarray(DATA), new Uint8Array(64 * 512).fill(5));
  await cluster.close();
});

test('a raid that lacks yet another member waits for that; one without members to spare is not given an empty one', async () => {
  const { cluster, disks, plug, add, only } = await ended(3);
  disks[1].memory().fill(0);
  await plug([0, 1]);
  const waits = `raid "R" is configuring: it waits for base bdev ${disks[2].uuid}`;
  await assert.rejects(add('P1'), { code: 'EAGAIN', message: waits });
  open(cluster, 'P1').close();
  await plug([2]);
  await add('P1');
  assert.equal((await only()).state, 'online');
  await cluster.close();
  const striped = await ended(2, 'raid0');
  striped.disks[1].memory().fill(0);
  await striped.plug([0, 1]);
  const needed = 'raid "R" does not work without the data of bdev "P1"';
  await assert.rejects(striped.add('P1'), { code: 'EINVAL', message: needed });
  open(striped.cluster, 'P1').close();
  await striped.cluster.close();
});

test('a damaged member may go before the raid starts, and another come in its place', async () => {
  const { cluster, disks, plug, only } = await ended(2);
  disks[1].memory()[ENTRY] ^= 1;
  await plug([0, 1]);
  await disks[1].pull();
  disks[1].memory()[ENTRY] ^= 1;
  assert.equal((await only()).state, 'configuring');
  await plug([1]);
  const { state, num_base_bdevs_operational } = await only();
  assert.deepEqual([state, num_base_bdevs_operational], ['online', 2]);
  await cluster.close();
});

test('a member that nobody has looked at is added to a raid that waits for it, and is good', async () => {
  const { cluster, disks, plug, only, raids, add } = await ended(2);
  await plug([0]);
  cluster.bdevs.options.bdev_auto_examine = false;
  await plug([1]);
  assert.equal((await only()).state, 'configuring');
  await add('P1');
  assert.equal((await only()).state, 'online');
  assert.equal(raids.list()[0].process, null);
  assert.deepEqual(memberStates(await superblockOf(disks[1])), [1, 1]);
  await cluster.close();
});
