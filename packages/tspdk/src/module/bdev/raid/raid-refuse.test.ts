/** What is no reason to drop a member, or to let it go early: that the application stops, that the shared heap is full, that a drop may still be refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bdev } from '../../../bdev/bdev.ts';
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { Cluster } from '../../../bdev/cluster.sim.ts';
import { heapReserve } from '../../../bdev/heap-reserve.ts';
import { lockBlockRank } from '../../../bdev/io-rank.ts';
import { channelOf, open } from '../../../bdev/stub-setup.sim.ts';
import { AllocSite } from '../../../env/alloc-site.ts';
import { SpdkError } from '../../../env/errors.ts';
import { end, outstanding, rebuilding, soon, threeWithSuperblocks } from './raid-drop.sim.ts';
import { answering, setUpRaid, stubDisks } from './raid-setup.sim.ts';
import { RAID_SB_CONFIGURED } from './raid-superblock.ts';

test('while the application stops, what fails on a member fails, and no superblock says that the member has', async () => {
  const { cluster, raid, names, channel, buf, done, tearDown } = await threeWithSuperblocks();
  cluster.reactors[0].markStopping();
  for (let i = 1; i <= 2; i++) {
    channel.write(buf, 0, 0, 512, (_, status) => void done.push(status), null);
    for (const name of names.slice(0, 3)) end(name, () => true, name === names[2] ? -19 : 0);
    await soon(cluster, 'the write ends', () => done.length === i);
  }
  await cluster.until(raid.serial(async () => {}));
  assert.deepEqual(done, [-19, -19]);
  assert.deepEqual(names.flatMap(outstanding), []);
  assert.deepEqual(
    raid.slots.map(({ base, good, sbState }) => base !== null && good && sbState === RAID_SB_CONFIGURED),
    [true, true, true],
  );
  await tearDown();
});

test('a member that takes no superblock while the application stops is not said to have failed, and whom it was to be about stays', async () => {
  const { cluster, raid, names, channel, buf, done, tearDown } = await threeWithSuperblocks();
  channel.write(buf, 0, 0, 512, (_, status) => void done.push(status), null);
  for (const name of names.slice(0, 3)) end(name, () => true, name === names[2] ? -5 : 0);
  await soon(cluster, 'superblocks are written', () => outstanding(names[0]).length === 1);
  cluster.reactors[0].markStopping();
  await soon(cluster, 'the write ends', () => {
    for (const name of names) end(name, () => true, name === names[1] ? -19 : 0);
    return done.length === 1;
  });
  await cluster.until(raid.serial(async () => {}));
  assert.deepEqual(done, [-5]);
  assert.deepEqual(
    raid.slots.map(({ base, good }) => base !== null && good),
    [true, true, true],
  );
  await tearDown();
});

/** The shared heap has no room, until what is returned is called. */
function fillHeap(cluster: Cluster): () => void {
  const { heap } = cluster.reactors[0];
  const { alloc } = heap;
  heap.alloc = () => {
    throw new SpdkError('ENOMEM', 'full');
  };
  return () => {
    heap.alloc = alloc;
  };
}

test('the shared heap is full: a member that is taken out is still nobody else’s before all that was under way there is over', async () => {
  const { cluster, call, raid, names, channel, buf, tearDown } = await threeWithSuperblocks();
  channel.write(buf, 0, 0, 512, () => {}, null);
  const free = fillHeap(cluster);
  const removal = call('bdev_raid_remove_base_bdev', { name: names[2] });
  await soon(cluster, 'it is out', () => {
    for (const name of names.slice(0, 2)) end(name);
    return raid.slots[2].base === null;
  });
  for (let i = 0; i < 20; i++) {
    if (i === 10) free();
    cluster.settle();
    await cluster.until(new Promise(setImmediate));
    assert.deepEqual(
      outstanding(names[2]).map(({ byteOffset }) => byteOffset > 0),
      [true],
      'it is not wiped',
    );
    assert.ok(cluster.bdevs.get(names[2]).shared.claim !== 0);
  }
  await answering(cluster, names, removal);
  assert.equal(cluster.bdevs.get(names[2]).shared.claim, 0);
  await tearDown();
});

test('[test_raid_process] the shared heap is full, and its last block goes round: a rebuild waits for its lock and goes on', async () => {
  const { cluster, raid, names, tearDown } = await rebuilding('raid1');
  const free = fillHeap(cluster);
  const { reserve, taken } = lastBlock(cluster, raid.bdev as Bdev);
  await soon(cluster, 'the first window is copied', () => {
    for (const name of names) end(name);
    return raid.process?.doneBlocks === 8;
  });
  // Somebody else has it, and asks for it again each time; then nobody.
  for (let i = 0; i < 10; i++) {
    cluster.settle();
    await cluster.until(new Promise(setImmediate));
    assert.ok(raid.process !== null && raid.slots[0].base !== null, 'it goes on');
  }
  reserve.free(taken);
  await answering(
    cluster,
    names,
    cluster.untilTrue(() => raid.slots[0].good),
  );
  free();
  await tearDown();
});

/** The block that is kept for locks of a disk, taken by somebody else. */
function lastBlock(cluster: Cluster, disk: Bdev) {
  const reserve = cluster.reactors[0].local(heapReserve);
  const taken = reserve.take(32, lockBlockRank(disk), 'somebody', new AllocSite('test'));
  return { reserve, taken };
}

test('[test_raid1_write_error] a write that only a member takes which is being dropped ends when that is decided', async () => {
  for (const refused of [false, true]) {
    const { cluster, raids, create } = await setUpRaid();
    const names = await stubDisks(cluster, 2, { blocks: 2048 + 64 });
    await answering(cluster, names, create('raid1', names, { superblock: true }));
    const desc = open(cluster, 'R');
    const channel = channelOf(cluster, desc);
    const buf = cluster.memory(512);
    const done: string[] = [];
    const data = ({ byteOffset }: BdevIo) => byteOffset > 0;
    const write = (name: string, statuses: number[]) => {
      channel.write(buf, 0, 0, 512, (_, status) => void done.push(`${name} ${status}`), null);
      for (const [i, status] of statuses.entries()) end(names[i], data, status);
    };
    write('v', [0, -5]);
    await soon(cluster, 'the other’s superblock is written', () => outstanding(names[0]).length === 1);
    write('w', [-28, 0]);
    for (let i = 0; i < 20; i++) cluster.settle();
    assert.deepEqual(done, [], 'both wait');
    end(names[0], () => true, refused ? -5 : 0);
    await soon(cluster, 'both end', () => {
      end(names[1]);
      return done.length === 2;
    });
    assert.deepEqual(done, refused ? ['v -5', 'w 0'] : ['v 0', 'w -28']);
    assert.deepEqual(
      raids.list()[0].slots.map(({ base }) => base !== null),
      [!refused, refused],
    );
    desc.close();
    await answering(cluster, names, cluster.bdevs.fini());
    await cluster.close();
  }
});

test('the shared heap is full: a repair waits for its lock, and ends with the raid', async () => {
  for (const deleted of [false, true]) {
    const { cluster, create, call } = await setUpRaid();
    const names = await stubDisks(cluster, 2, { blocks: 64 });
    await answering(cluster, names, create('raid1', names));
    const desc = open(cluster, 'R');
    const buf = cluster.memory(512);
    const done: number[] = [];
    const free = fillHeap(cluster);
    const { reserve, taken } = lastBlock(cluster, desc.bdev);
    channelOf(cluster, desc).read(buf, 0, 0, 512, (_, status) => void done.push(status), null);
    end(names[0], () => true, -5);
    end(names[1]);
    for (let i = 0; i < 10; i++) {
      cluster.settle();
      await cluster.until(new Promise(setImmediate));
    }
    assert.deepEqual([done, names.flatMap(outstanding)], [[0], []]);
    desc.close();
    if (deleted) await answering(cluster, names, call('bdev_raid_delete', { name: 'R' }));
    free();
    reserve.free(taken);
    if (!deleted) {
      await soon(cluster, 'it is written again', () => {
        cluster.settle();
        end(names[1]);
        return outstanding(names[0]).length === 1;
      });
    }
    await answering(cluster, names, cluster.bdevs.fini());
    await cluster.close();
  }
});
