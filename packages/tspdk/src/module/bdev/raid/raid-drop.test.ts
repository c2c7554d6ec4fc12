/**
 * Members that go while another one is rebuilt, and disks that do not answer: no drop waits for a later one, and none for a disk that is no member.
 * What the queue of a RAID disk may wait for stands in raid-disk.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { IO_READ, IO_WRITE } from '../../../bdev/io-type.ts';
import { stubChannel } from '../../../bdev/stub-module.sim.ts';
import { log } from '../../../log/index.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { raidBackends } from './raid-backend.ts';
import { RaidDisk } from './raid-disk.ts';
import { end, outstanding, rebuilding, soon, threeWithSuperblocks } from './raid-drop.sim.ts';
import { RAID0, RAID1, RAID5F } from './raid-level.ts';
import { answering, PLUGGABLE_BLOCKS, Pluggable, setUpRaid, stubDisks, superblockOf } from './raid-setup.sim.ts';

test('[test_raid_process] raid1: a write fails on the member that is rebuilt and on another, and the rebuild waits for it: both are dropped', async () => {
  const { cluster, raid, names, channel, buf, done, cb, lockSecond, tearDown } = await rebuilding('raid1');
  channel.write(buf, 0, 4096, 512, cb, 'w');
  await lockSecond();
  stubChannel(names[2]).complete(1);
  for (const name of [names[0], names[1]]) stubChannel(name).complete(1, -5);
  await soon(cluster, 'the write is acknowledged', () => done.length === 1);
  assert.deepEqual(done, ['w 0']);
  await soon(cluster, 'the rebuild ends', () => raid.process === null);
  assert.deepEqual(
    raid.slots.map(({ base }) => base !== null),
    [false, false, true],
  );
  await tearDown();
});

test('[test_raid_process] raid5f: the member that is rebuilt goes while a write has failed on the last that can be spared: it fails, and nothing hangs', async () => {
  const { cluster, raid, names, channel, buf, done, cb, lockSecond, tearDown } = await rebuilding('raid5f');
  // Two stripes; each member has a strip of each.
  channel.write(buf, 0, 8192, 8192, cb, 'v');
  channel.write(buf, 0, 16384, 8192, cb, 'w');
  await lockSecond();
  const at = (offset: number) => (io: BdevIo) => io.type === IO_WRITE && io.byteOffset === offset;
  end(names[0], at(8192), -5);
  for (const name of [names[1], names[2]]) end(name, at(8192));
  end(names[1], at(4096), -5);
  for (const name of [names[0], names[2]]) end(name, at(4096));
  await soon(cluster, 'both writes end', () => done.length === 2);
  assert.deepEqual(done.sort(), ['v -5', 'w 0']);
  await soon(cluster, 'the rebuild ends', () => raid.process === null);
  assert.deepEqual(
    raid.slots.map(({ base }) => base !== null),
    [false, true, true],
  );
  await tearDown();
});

test('a member that is taken out, and does not answer when its superblock is to be wiped, holds nobody up', async () => {
  const { cluster, call, raid, names, failOnLast, tearDown } = await threeWithSuperblocks();
  let removed = false;
  const removal = call('bdev_raid_remove_base_bdev', { name: names[0] }).then(() => {
    removed = true;
  });
  await soon(cluster, 'the others say that it is out', () => {
    for (const name of names.slice(1)) end(name);
    return raid.slots[0].base === null;
  });
  await soon(cluster, 'it is to be wiped', () => outstanding(names[0]).length === 1);
  const [wipe] = outstanding(names[0]);
  assert.deepEqual([wipe.type, wipe.byteOffset, wipe.bytes], [IO_WRITE, 0, 512]);
  await failOnLast(names[0]);
  assert.equal(removed, false);
  assert.ok(cluster.bdevs.get(names[0]).shared.claim !== 0, 'nobody else gets it before it is wiped');
  await answering(cluster, names, removal);
  assert.equal(cluster.bdevs.get(names[0]).shared.claim, 0);
  await tearDown();
});

test('a disk that is to be added, and does not answer, holds nobody up', async () => {
  const { cluster, call, raid, names, failOnLast, tearDown } = await threeWithSuperblocks();
  await answering(cluster, names, call('bdev_raid_remove_base_bdev', { name: names[0] }));
  const added = call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: names[3] });
  await soon(cluster, 'its superblock is read', () => outstanding(names[3]).length === 1);
  await failOnLast(names[3]);
  assert.equal(raid.slots[2].base, null);
  await answering(cluster, names, added);
  await answering(
    cluster,
    names,
    cluster.untilTrue(() => raid.slots[0].good),
  );
  await tearDown();
});

test('a disk that does not answer while a raid is made of it, or while it is looked at, holds up no other raid', async () => {
  const { cluster, raids, call, create, list, settle } = await setUpRaid();
  for (const name of ['A', 'B', 'C']) await malloc(cluster, name);
  await settle();
  const [silent, added] = await stubDisks(cluster, 2);
  await soon(cluster, 'they are looked at', () => [silent, added].every((name) => outstanding(name).length > 0));
  await create('raid1', ['A', '']);
  const params = { level: RAID1, stripSizeKb: 0, superblock: false };
  const waits = [
    raids.create({ ...params, name: 'Q', baseBdevs: [silent, 'none'] }),
    call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: added }),
  ];
  await soon(cluster, 'they are read', () => [silent, added].every((name) => outstanding(name).length > 1));
  await create('raid1', ['B', 'C'], { name: 'S' });
  assert.deepEqual(
    (await list()).map(({ name, state }) => [name, state]),
    [
      ['R', 'online'],
      ['Q', 'configuring'],
      ['S', 'online'],
    ],
  );
  for (const each of waits) await answering(cluster, [silent, added], each as Promise<unknown>);
  assert.deepEqual(
    (await list()).map(({ num_base_bdevs_discovered: n }) => n),
    [2, 1, 2],
  );
  await answering(cluster, [silent, added], cluster.bdevs.fini());
  await cluster.close();
});

test('a disk is not added to a raid that goes while its superblock is read', async () => {
  const { cluster, raids, names, tearDown } = await rebuilding('raid1');
  const [fresh] = await stubDisks(cluster, 1, { blocks: 64 });
  // Two that wait for it by name, and by wish.
  const made = raids.create({ name: 'Q', level: 1, stripSizeKb: 0, baseBdevs: [fresh, names[0]], superblock: false });
  made.catch(() => {});
  await soon(cluster, 'it is looked at, and its superblock read', () => outstanding(fresh).length === 2);
  const deleted = raids.delete('Q');
  end(fresh);
  await assert.rejects(cluster.until(made), { code: 'ENODEV', message: 'raid "Q" is being removed' });
  await cluster.until(deleted);
  assert.equal(cluster.bdevs.get(fresh).shared.claim, 0);
  names.push(fresh);
  await tearDown();
});

test('[test_delete_raid] a raid that is deleted while its superblocks are written is not there afterwards', async () => {
  const { cluster, raids } = await setUpRaid({ reactors: 2 });
  const names = await stubDisks(cluster, 2, { blocks: 2048 + 64 });
  const params = { name: 'R', level: RAID1, stripSizeKb: 0, baseBdevs: names, superblock: true };
  const made = raids.create(params);
  made.catch(() => {});
  const writes = (name: string) => outstanding(name).filter(({ type }) => type === IO_WRITE);
  await soon(cluster, 'the first superblock is written', () => {
    for (const name of names) end(name, ({ type }) => type === IO_READ);
    return writes(names[0]).length === 1;
  });
  const deleted = raids.delete('R');
  await assert.rejects(answering(cluster, names, made), { code: 'ENODEV', message: 'raid "R" is being removed' });
  await answering(cluster, names, deleted);
  assert.deepEqual(raids.list(), []);
  assert.equal(cluster.bdevs.has('R'), false);
  for (const name of names) assert.equal(cluster.bdevs.get(name).shared.claim, 0);
  await answering(cluster, names, cluster.bdevs.fini());
  await cluster.close();
});

test('[test_delete_raid] a raid that is deleted with its superblocks, while memory is shared for them, leaves none', async (t) => {
  for (const level of [RAID1, RAID5F]) {
    const { cluster, raids } = await setUpRaid({ reactors: 2 });
    const disks = [];
    for (const name of ['P0', 'P1', 'P2']) disks.push(await Pluggable.make(cluster, name, PLUGGABLE_BLOCKS));
    const baseBdevs = disks.map(({ name }) => name);
    const { newBdev } = RaidDisk.prototype;
    let deleted = Promise.resolve();
    const mocked = t.mock.method(RaidDisk.prototype, 'newBdev', function (this: RaidDisk) {
      const made = newBdev.call(this);
      deleted = raids.delete('R', true);
      return made;
    });
    const made = raids.create({ name: 'R', level, stripSizeKb: level === RAID1 ? 0 : 4, baseBdevs, superblock: true });
    await assert.rejects(cluster.until(made), { code: 'ENODEV', message: 'raid "R" is being removed' });
    await cluster.until(deleted);
    mocked.mock.restore();
    for (const disk of disks) assert.equal(await superblockOf(disk), null);
    assert.deepEqual(raids.list(), []);
    await cluster.until(cluster.bdevs.fini());
    await cluster.close();
  }
});

test('[test_raid_io_split] a write across the edge of the window that is being copied waits whole, and goes whole to every member', async () => {
  const { cluster, names, channel, buf, done, cb, tearDown } = await rebuilding('raid1');
  const writes = () =>
    names.map((name) =>
      outstanding(name)
        .filter(({ type }) => type === IO_WRITE)
        .map(({ byteOffset, bytes }) => [byteOffset, bytes]),
    );
  channel.write(buf, 0, 4096 - 512, 1024, cb, 'w');
  for (let i = 0; i < 20; i++) cluster.round();
  assert.deepEqual(writes(), [[], [], []]);
  await soon(cluster, 'the window is copied', () => {
    for (const name of names) end(name, ({ byteOffset }) => byteOffset === 0);
    return writes()[1].length > 0;
  });
  assert.deepEqual(writes(), [[[3584, 1024]], [[3584, 1024]], [[3584, 1024]]]);
  for (const name of names) end(name);
  cluster.turns();
  assert.deepEqual(done, ['w 0']);
  await tearDown();
});

test('[test_raid_io_split] raid5f: a write of the last stripe of the window that is being copied waits, too', async () => {
  const { cluster, names, channel, buf, done, cb, tearDown } = await rebuilding('raid5f', 16);
  const writes = () =>
    names.map((name) =>
      outstanding(name)
        .filter(({ type, byteOffset }) => type === IO_WRITE && byteOffset > 0)
        .map(({ byteOffset, bytes }) => [byteOffset, bytes]),
    );
  channel.write(buf, 0, 3 * 8192, 8192, cb, 'w');
  for (let i = 0; i < 20; i++) cluster.round();
  assert.deepEqual(writes(), [[], [], []]);
  await soon(cluster, 'the window is copied', () => {
    for (const name of names) end(name, ({ byteOffset }) => byteOffset === 0);
    return writes()[1].length > 0;
  });
  assert.deepEqual(writes(), [[[12288, 4096]], [[12288, 4096]], [[12288, 4096]]]);
  for (const name of names) end(name);
  cluster.turns();
  assert.deepEqual(done, ['w 0']);
  await tearDown();
});

test('[test_raid_process] a member that goes when all is copied and not yet flushed ends its rebuild, which touches it no more', async (t) => {
  const { cluster, raid, names, tearDown } = await rebuilding('raid1', 32);
  end(names[1]);
  await soon(cluster, 'all is written', () => outstanding(names[0]).length === 1);
  const lines: string[] = [];
  log.open(({ text }) => void lines.push(text));
  t.after(() => log.close());
  end(names[0]);
  raid.memberFailed(0, raid.slots[0].generation);
  // No turn of a core, so the lock of the window is not lifted before the member has gone.
  for (let i = 0; i < 100; i++) await null;
  assert.ok(raid.slots[0].base === null && raid.process !== null);
  await soon(cluster, 'the rebuild ends', () => raid.process === null);
  log.close();
  assert.deepEqual(lines, [`raid "R" goes on without "${names[0]}"`]);
  await tearDown();
});

test('what makes a raid impossible is the answer of who makes it, though its disks are still being examined', async () => {
  const { cluster, raids } = await setUpRaid();
  const names = await stubDisks(cluster, 2, { blocks: 4 });
  const params = { name: 'R', level: RAID0, stripSizeKb: 4, baseBdevs: names, superblock: false };
  const made = raids.create(params);
  const message = 'a base bdev is smaller than a strip of 8 blocks';
  await assert.rejects(answering(cluster, names, made), { code: 'EINVAL', message });
  await answering(cluster, names, cluster.bdevs.fini());
  await cluster.close();
});

test('a member that is taken out, or is dropped, is nobody else’s before all that was under way there is over', async () => {
  for (const status of [0, -5]) {
    const { cluster, call, raid, names, channel, buf, cb, done, tearDown } = await rebuilding('raid1');
    channel.write(buf, 0, 8192, 512, cb, 'slow');
    const removal = status === 0 ? call('bdev_raid_remove_base_bdev', { name: names[1] }) : Promise.resolve();
    let removed = false;
    void removal.then(() => {
      removed = true;
    });
    if (status !== 0) {
      channel.write(buf, 0, 16384, 512, cb, 'fails');
      end(names[1], ({ byteOffset }) => byteOffset === 16384, status);
      for (const name of [names[0], names[2]]) end(name, ({ byteOffset }) => byteOffset === 16384);
    }
    await soon(cluster, 'it is out', () => raid.slots[1].base === null);
    for (let i = 0; i < 50; i++) cluster.settle();
    await cluster.until(new Promise(setImmediate));
    const { shared } = cluster.bdevs.get(names[1]);
    assert.deepEqual([outstanding(names[1]).length > 0, shared.claim !== 0], [true, true]);
    if (status === 0) assert.equal(removed, false);
    await soon(cluster, 'it is free', () => {
      end(names[1]);
      return shared.claim === 0;
    });
    await cluster.until(removal);
    assert.ok(!done.includes('slow 0'), 'the others are not done');
    await tearDown();
  }
});

test('a member that was taken out, and then goes, does not take the one with it that has its place', async () => {
  const { cluster, call, raid, names, tearDown } = await threeWithSuperblocks();
  const removal = call('bdev_raid_remove_base_bdev', { name: names[0] });
  await soon(cluster, 'it is to be wiped', () => {
    for (const name of names.slice(1)) end(name);
    return raid.slots[0].base === null && outstanding(names[0]).length === 1;
  });
  await answering(cluster, names.slice(1), call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: names[3] }));
  const gone = cluster.bdevs.delete(names[0]);
  for (let i = 0; i < 50; i++) cluster.settle();
  await answering(cluster, names, Promise.all([removal, gone]));
  await answering(
    cluster,
    names,
    cluster.untilTrue(() => raid.slots.every(({ good }) => good)),
  );
  assert.equal(raid.slots[0].name, names[3]);
  names.splice(0, 1);
  await tearDown();
});

test('[test_raid1_write_error] a write that none of the good members takes has failed, though one that is being rebuilt took it; nobody is dropped', async () => {
  const { cluster, raid, names, channel, buf, done, cb, tearDown } = await rebuilding('raid1');
  channel.write(buf, 0, 8192, 512, cb, 'w');
  const write = ({ type }: BdevIo) => type === IO_WRITE;
  end(names[0], write);
  for (const name of names.slice(1)) end(name, write, -28);
  await soon(cluster, 'it ends', () => done.length === 1);
  for (let i = 0; i < 20; i++) cluster.settle();
  await cluster.until(raid.serial(async () => {}));
  assert.deepEqual(done, ['w -28']);
  assert.deepEqual(
    raid.slots.map(({ base }) => base !== null),
    [true, true, true],
  );
  await tearDown();
});

test('a write that has failed on a member is acknowledged when no core reads that member any more', async () => {
  for (const core of [0, 1]) {
    const { cluster, create, raids } = await setUpRaid({ reactors: 2 });
    const names = await stubDisks(cluster, 2, { blocks: 64 });
    await answering(cluster, names, create('raid1', names));
    const { key } = raids.get('R');
    const backends = cluster.reactors.map((reactor) => reactor.local(raidBackends).get(key));
    const readable = () => backends.map((backend) => Array.from(backend?.readable ?? []));
    assert.deepEqual(readable(), [
      [1, 1],
      [1, 1],
    ]);
    const desc = cluster.on(core, () => BdevDesc.open('R', { write: true, onEvent: () => {} }));
    const channel = cluster.on(core, () => desc.getIoChannel());
    const seen: unknown[] = [];
    const acknowledged = (_: unknown, status: number): void => void seen.push(status, readable());
    cluster.on(core, () => channel.write(cluster.memory(512), 0, 0, 512, acknowledged, null));
    stubChannel(names[0], core).complete(1, -5);
    stubChannel(names[1], core).complete(1);
    await soon(cluster, 'the write is acknowledged', () => seen.length > 0);
    assert.deepEqual(seen, [
      0,
      [
        [0, 1],
        [0, 1],
      ],
    ]);
    desc.close();
    await answering(cluster, names, cluster.bdevs.fini());
    await cluster.close();
  }
});

test('[test_raid_process] of members that are added together one is rebuilt after the other', async () => {
  const { cluster, create, call, raids } = await setUpRaid();
  const names = await stubDisks(cluster, 3, { blocks: 64 });
  await answering(cluster, names, create('raid1', ['', '', names[2]]));
  const raid = raids.get('R');
  const add = (base_bdev: string) =>
    answering(cluster, [base_bdev], call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev }));
  await add(names[0]);
  const { process } = raid;
  assert.equal(process?.slot.index, 0);
  await add(names[1]);
  for (let i = 0; i < 20; i++) cluster.round();
  assert.equal(raid.process, process);
  const rebuilt: number[] = [];
  await soon(cluster, 'both are rebuilt', () => {
    for (const name of names) end(name);
    const index = raid.process?.slot.index;
    if (index !== undefined && index !== rebuilt.at(-1)) rebuilt.push(index);
    return raid.slots.every(({ good }) => good);
  });
  assert.deepEqual(rebuilt, [0, 1]);
  await answering(cluster, names, cluster.bdevs.fini());
  await cluster.close();
});
