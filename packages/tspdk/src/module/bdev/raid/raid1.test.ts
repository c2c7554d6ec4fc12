/**
 * raid1: every member holds all, what fails on one member does not fail, and nobody reads what a member missed (reads: raid1-read.test.ts). The names in brackets are those of SPDK's raid1_ut and bdev_raid_ut;
 * more of test_raid_process is in raid-drop.test.ts. Of test_raid_io_split there is no split: a rebuild holds writes of its window back whole.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { faultRegistry } from '../../../bdev/faults/registry.ts';
import { IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE, IO_ZCOPY, ioTypes } from '../../../bdev/io-type.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { stubChannel, stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, open, runIo, takeBdevIos } from '../../../bdev/stub-setup.sim.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import { limits } from '../../../env/limits.ts';
import { notifyOf } from '../../../notify/index.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { allGood, answering, contents, legs, Pluggable, raid1OnStubs, setUpRaid, stubDisks } from './raid-setup.sim.ts';

test('[test_raid1_start] every member holds what was written, from every reactor, with and without a superblock', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 4 }),
      fc.boolean(),
      modelBatches(256, 100),
      async (count, superblock, batches) => {
        const { cluster, create } = await setUpRaid({ reactors: 2 });
        const names = Array.from({ length: count }, (_, i) => `M${i}`);
        const offset = superblock ? 2048 : 0;
        for (const [i, name] of names.entries()) await malloc(cluster, name, offset + 256 + i);
        await create('raid1', names, { superblock });
        const bdev = cluster.bdevs.get('R');
        assert.equal(bdev.blocks, 256);
        const model = new Uint8Array(bdev.sizeBytes);
        await runModel(cluster, bdev, model, batches);
        for (const name of names) {
          const data = (await contents(cluster, name)).subarray(offset * 512, (offset + 256) * 512);
          assert.equal(Buffer.compare(data, model), 0, name);
        }
        await cluster.close();
      },
    ),
    { numRuns: 30 },
  );
});

test('[test_raid1_write_error] a write that fails on one member is acknowledged when no core uses that member any more', async () => {
  const { cluster, stub, names, list, channel, done, cb, buf, tearDown } = await raid1OnStubs(3, {}, {}, 2);
  assert.equal(channel.write(buf, 0, 512, 1024, cb, 'w', 1), 0);
  assert.deepEqual(legs(stub), [['2 512 1024'], ['2 512 1024'], ['2 512 1024']]);
  for (const { outstanding } of stub) assert.equal(outstanding[0].flags, 1);
  stub[0].complete(1);
  stub[1].complete(1, -5);
  stub[2].complete(1);
  cluster.turns();
  assert.deepEqual(done, [], 'it waits');
  await cluster.untilTrue(() => done.length > 0);
  assert.deepEqual(done, ['w 0']);
  channel.write(buf, 0, 0, 512, cb, 'v');
  for (let i = 0; i < 3; i++) channel.read(buf, 0, 0, 512, cb, 'r');
  assert.deepEqual(stub[1].outstanding, []);
  for (const each of stub) each.complete(each.outstanding.length);
  cluster.turns();
  const [info] = await list('online');
  assert.deepEqual(
    [info.num_base_bdevs_discovered, info.num_base_bdevs_operational, info.base_bdevs_list[1].name],
    [2, 2, null],
  );
  await cluster.untilTrue(() => cluster.bdevs.get(names[1]).shared.claim === 0);
  await tearDown();
});

test('[test_raid1_write_error] a write that no member takes has failed, and nobody is dropped; the last member is never dropped', async () => {
  const { cluster, stub, list, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  channel.write(buf, 0, 0, 512, cb, 'a');
  for (const each of stub) each.complete(1, -5);
  cluster.turns();
  assert.deepEqual(done, ['a -5']);
  // The first says why, but for one that says no more than that it is gone.
  for (const [one, other, told] of [
    [-5, -28, -5],
    [-19, -28, -28],
    [-28, -19, -28],
  ]) {
    channel.write(buf, 0, 0, 512, cb, 'a');
    stub[1].complete(1, one);
    stub[0].complete(1, other);
    cluster.turns();
    assert.deepEqual(done.splice(1), [`a ${told}`]);
  }
  assert.equal((await list('online'))[0].num_base_bdevs_discovered, 2);
  channel.write(buf, 0, 0, 512, cb, 'b');
  channel.write(buf, 0, 512, 512, cb, 'c');
  // Each member fails one of them: only one of the two can be dropped.
  stub[0].complete(1, -5);
  stub[0].complete(1);
  stub[1].complete(1);
  stub[1].complete(1, -28);
  await cluster.untilTrue(() => done.length === 3);
  assert.deepEqual(done.slice(1), ['b 0', 'c -28']);
  assert.equal((await list('online'))[0].num_base_bdevs_discovered, 1);
  channel.write(buf, 0, 0, 512, cb, 'd');
  stub[1].complete(1);
  cluster.turns();
  assert.deepEqual(done.slice(3), ['d 0']);
  await tearDown();
});

test('[test_reset_io] a reset ends reads, waits for writes, and resets the members', async () => {
  const { cluster, stub, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  channel.write(buf, 0, 0, 512, cb, 'w');
  channel.read(buf, 0, 0, 512, cb, 'r');
  assert.equal(channel.reset(cb, 'reset'), 0);
  cluster.turns();
  assert.deepEqual(done, ['r -125']);
  stub[0].complete(1);
  await cluster.untilTrue(() => legs(stub)[0].length === 0);
  assert.deepEqual(done, ['r -125']);
  stub[1].complete(1);
  await cluster.untilTrue(() => done.length === 3);
  assert.deepEqual(done, ['r -125', 'w 0', 'reset 0']);
  await tearDown();
});

test('a channel that is opened while a member goes: its writes wait for the drop, too', async () => {
  const { cluster, raids, names, stub, desc, done, cb, buf, tearDown } = await raid1OnStubs(2);
  const removal = cluster.bdevs.delete(names[0]);
  while (!cluster.bdevs.get(names[0]).removing) await null;
  // Outside of a thread it is another channel.
  const late = desc.getIoChannel();
  assert.equal(late.write(buf, 0, 0, 512, cb, 'w'), 0);
  const dropped: boolean[] = [];
  const look = (_: unknown, status: number) => {
    cb('v', status);
    dropped.push(raids.list()[0].slots[0].sbState !== 1);
  };
  assert.equal(late.write(buf, 0, 512, 512, look, null), 0);
  const own = stubs.channels.get(names[1])?.find(({ outstanding }) => outstanding.length === 2);
  assert.ok(own !== undefined);
  own.complete(2);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done, ['w 0', 'v 0']);
  assert.deepEqual(dropped, [true]);
  assert.deepEqual(legs(stub), [[], []]);
  await cluster.until(removal);
  late.close();
  await tearDown();
});

test('what a reset of a member by others has aborted is begun again there, and the member stays', async () => {
  const { cluster, names, stub, list, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  const other = open(cluster, names[0], false);
  const below = channelOf(cluster, other);
  channel.write(buf, 0, 512, 512, cb, 'w');
  stub[1].complete(1);
  assert.equal(below.reset(cb, 'reset'), 0);
  await cluster.untilTrue(() => done.length === 1);
  assert.deepEqual(done, ['reset 0']);
  await cluster.untilTrue(() => stub[0].outstanding.length === 1);
  assert.deepEqual(legs(stub), [['2 512 512'], []]);
  stub[0].complete(1);
  cluster.turns();
  assert.deepEqual(done, ['reset 0', 'w 0']);
  assert.equal((await list('online'))[0].num_base_bdevs_operational, 2);
  other.close();
  await tearDown();
});

test('a disk that is written in units is no member that could be dropped for refusing other writes', async () => {
  const { cluster, create, call } = await setUpRaid();
  for (const name of ['A', 'B', 'C', 'D']) await malloc(cluster, name);
  await create('raid5f', ['A', 'B', 'C'], { name: 'Q' });
  const refused = {
    code: 'EINVAL',
    message: 'raid "R": bdev "Q" is written in units of 16 blocks, and a raid1 in any',
  };
  await assert.rejects(create('raid1', ['D', 'Q']), refused);
  await create('raid1', ['D', '']);
  await assert.rejects(call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: 'Q' }), refused);
  await call('bdev_raid_delete', { name: 'R' });
  await create('raid0', ['Q']);
  await cluster.close();
});

test('a member that answers nothing but ECANCELED has failed in the end', async () => {
  const { cluster, names, stub, list, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  channel.write(buf, 0, 512, 512, cb, 'w');
  stub[1].complete(1);
  const begun = cluster.clock.nowUs;
  for (let ms = 0; ms < limits.raid_reset_wait_ms; ms += 1000) {
    cluster.clock.nowUs = begun + ms * 1000;
    stub[0].complete(1, -125);
    cluster.settle();
    assert.deepEqual(legs(stub), [['2 512 512'], []], `it is asked again after ${ms} ms`);
  }
  cluster.clock.nowUs = begun + limits.raid_reset_wait_ms * 1000;
  stub[0].complete(1, -125);
  cluster.settle();
  assert.deepEqual(stub[0].outstanding, [], 'it is asked no more');
  await cluster.untilTrue(() => done.length === 1);
  assert.deepEqual(done, ['w 0']);
  assert.deepEqual(
    (await list())[0].base_bdevs_list.map(({ name }) => name),
    [null, names[1]],
  );
  await tearDown();
});

test('too few BdevIos: each member gets a write once', async () => {
  const { cluster, stub, channel, done, cb, buf, tearDown } = await raid1OnStubs(3);
  const { pool } = channel.shared.manager;
  pool.setOptions({ ios: pool.all.length, growBy: 1 });
  for (let free = 1; free <= 4; free++) {
    const giveBack = takeBdevIos(pool, free);
    assert.equal(channel.write(buf, 0, 0, 512, cb, free), 0);
    assert.equal(legs(stub).flat().length, free - 1);
    giveBack();
    assert.deepEqual(legs(stub), [['2 0 512'], ['2 0 512'], ['2 0 512']]);
    for (const each of stub) each.complete(1);
    cluster.turns();
    assert.equal(done.at(-1), `${free} 0`);
  }
  await tearDown();
});

test('a leg that is begun again, as others have reset its member, waits for its BdevIo', async () => {
  const { cluster, stub, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  const { pool } = channel.shared.manager;
  pool.setOptions({ ios: pool.all.length, growBy: 1 });
  assert.equal(channel.write(buf, 0, 0, 512, cb, 'w'), 0);
  stub[0].complete(1, -125);
  const giveBack = takeBdevIos(pool);
  cluster.settle();
  assert.equal(pool.waiting, 1);
  assert.deepEqual(legs(stub), [[], ['2 0 512']]);
  giveBack();
  assert.deepEqual(legs(stub), [['2 0 512'], ['2 0 512']]);
  for (const each of stub) each.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['w 0']);
  await tearDown();
});

test('it works without members from the start, and takes them later; it does not give its memory away', async () => {
  const { cluster, create, call, list, raids } = await setUpRaid({ reactors: 2 });
  for (const name of ['M0', 'M1', 'M2']) await malloc(cluster, name);
  await malloc(cluster, 'Small', 255);
  await malloc(cluster, 'M4k', 256, { block_size: 4096 });
  await create('raid1', ['M0', '']);
  const uuid = cluster.bdevs.get('R').uuid;
  const saved = { name: 'R', uuid, raid_level: 'raid1', strip_size_kb: 0, base_bdevs: ['M0', ''], superblock: false };
  const calls = () => cluster.bdevs.configCalls().filter(({ method }) => method === 'bdev_raid_create');
  assert.deepEqual(calls(), [{ method: 'bdev_raid_create', params: saved }]);
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  assert.equal(channel.bdev.ioTypeSupported(IO_ZCOPY), false);
  assert.equal(channel.zcopy(0, 512, new IoVecs(4)), false);
  const buf = cluster.memory(256 * 512);
  buf.u8.fill(9);
  const done: number[] = [];
  channel.write(buf, 0, 0, 256 * 512, (_, status) => void done.push(status), null);
  cluster.turns();
  const add = (base_bdev: string) => call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev });
  await assert.rejects(add('Small'), { code: 'EINVAL' });
  await assert.rejects(add('M4k'), { code: 'EINVAL' });
  await assert.rejects(add('M0'), { code: 'EPERM' });
  await assert.rejects(add('M9'), { code: 'ENODEV' });
  await malloc(cluster, 'M5');
  for (let i = 0; i < 5; i++) {
    const base_bdev_name = i === 0 ? 'M5' : `U${i - 1}`;
    await cluster.until(cluster.bdevs.create('passthru', { name: `U${i}`, base_bdev_name }));
  }
  const deep = /bdev "U4" stands on 5 disks, one on another; limit 4, as set when the raid was made/;
  await assert.rejects(add('U4'), { code: 'EINVAL', message: deep });
  raids.options.process_window_size_kb = 16;
  await add('M1');
  await assert.rejects(add('M2'), { code: 'EINVAL', message: /has all/ });
  await cluster.untilTrue(() => raids.list()[0].process === null);
  assert.deepEqual(await contents(cluster, 'M1'), new Uint8Array(256 * 512).fill(9));
  assert.deepEqual(calls()[0].params.base_bdevs, ['M0', 'M1']);
  assert.equal((await list())[0].num_base_bdevs_operational, 2);
  await call('bdev_raid_remove_base_bdev', { name: 'M0' });
  await assert.rejects(call('bdev_raid_remove_base_bdev', { name: 'M0' }), { code: 'ENODEV' });
  assert.equal((await list())[0].num_base_bdevs_operational, 1);
  assert.deepEqual(await contents(cluster, 'R'), new Uint8Array(256 * 512).fill(9));
  desc.close();
  await call('bdev_raid_remove_base_bdev', { name: 'M1' });
  assert.deepEqual(await list(), [], 'it goes with its last');
  await cluster.close();
});

test('a member that comes later may take no unmap and no flush, or have a cache: it stays, and gets what it takes', async () => {
  for (const first of [ioTypes(IO_READ, IO_WRITE), ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH)]) {
    const { cluster, create, call, raids } = await setUpRaid();
    const [a] = await stubDisks(cluster, 1, { blocks: 64, ioTypes: first });
    const [b] = await stubDisks(cluster, 1, { blocks: 64, ioTypes: ioTypes(IO_READ, IO_WRITE) });
    const [c] = await stubDisks(cluster, 1, { blocks: 64 });
    await answering(cluster, [a, b, c], create('raid1', [a, '', '']));
    for (const base_bdev of [b, c])
      await answering(cluster, [a, b, c], call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev }));
    const { slots } = raids.get('R');
    await answering(
      cluster,
      [a, b, c],
      cluster.untilTrue(() => slots.every(({ good }) => good)),
    );
    const desc = open(cluster, 'R');
    const channel = channelOf(cluster, desc);
    assert.equal(desc.bdev.volatileCache, true, 'who asks for FUA gets a flush');
    const seen: string[] = [];
    const run = async (start: (cb: (ctx: unknown, status: number) => void) => number) => {
      const running = runIo(cluster, start);
      await cluster.untilTrue(() => stubChannel(c).outstanding.length > 0);
      for (const [i, name] of [a, b, c].entries()) {
        for (const { type, byteOffset, bytes } of stubChannel(name).outstanding)
          seen.push(`${'abc'[i]} ${type} ${byteOffset} ${bytes}`);
      }
      return answering(cluster, [a, b, c], running);
    };
    assert.equal(await run((cb) => channel.flush(0, desc.bdev.sizeBytes, cb, null)), 0);
    const taken = (type: number) => (first & (1 << type)) !== 0;
    assert.deepEqual(seen.splice(0), [...(taken(IO_FLUSH) ? [`a ${IO_FLUSH} 0 32768`] : []), `c ${IO_FLUSH} 0 32768`]);
    if (taken(IO_UNMAP)) {
      assert.equal(await run((cb) => channel.unmap(512, 1024, cb, null)), 0);
      assert.deepEqual(seen, [`a ${IO_UNMAP} 512 1024`, `b ${IO_WRITE} 512 1024`, `c ${IO_UNMAP} 512 1024`]);
    }
    assert.ok(slots.every(({ good }) => good));
    desc.close();
    await answering(cluster, [a, b, c], cluster.bdevs.fini());
    await cluster.close();
  }
});

test('[test_raid_process_with_qos] a member is pulled and put back: it is rebuilt, window by window, with its progress told and its rate limited', async () => {
  const { cluster, create, call, list, settle, raids } = await setUpRaid({ reactors: 2, roundUs: 100 });
  const disks = [];
  for (const name of ['P0', 'P1', 'P2']) disks.push(await Pluggable.make(cluster, name, 2048 + 256));
  await settle();
  await create('raid1', ['P0', 'P1', 'P2'], { superblock: true });
  await disks[1].pull();
  assert.equal((await list('online'))[0].num_base_bdevs_operational, 2);
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(256 * 512);
  for (let i = 0; i < buf.u8.length; i++) buf.u8[i] = (i * 7) >> 3;
  const done: number[] = [];
  channel.write(buf, 0, 0, buf.u8.length, (_, status) => void done.push(status), null);
  cluster.turns();
  await call('bdev_raid_set_options', { process_window_size_kb: 8, process_max_bandwidth_mb_sec: 1 });
  const before = cluster.clock.nowUs;
  await disks[1].plug();
  await settle();
  const seen: number[] = [];
  await cluster.untilTrue(() => {
    const told = raids.list()[0].process?.describe() as { target: string; progress: { blocks: number } } | undefined;
    if (told === undefined) return true;
    assert.equal(told.target, 'P1');
    if (seen.at(-1) !== told.progress.blocks) seen.push(told.progress.blocks);
    return false;
  });
  assert.deepEqual(
    seen,
    Array.from({ length: 17 }, (_, i) => i * 16),
  );
  assert.ok(cluster.clock.nowUs - before >= 125_000, '128 KiB at 1 MiB/s');
  await allGood(cluster);
  for (const disk of disks) {
    assert.equal(Buffer.compare((await disk.contents()).subarray(2048 * 512), buf.u8), 0, disk.name);
  }
  assert.equal((await list('online'))[0].num_base_bdevs_operational, 3);
  const news = () =>
    notifyOf(cluster.reactors[0])
      .events()
      .map(({ type, context }) => `${type} ${context}`);
  assert.deepEqual(news(), ['bdev_raid_degraded R', 'bdev_raid_rebuilt R']);
  desc.close();
  for (const disk of disks) await disk.pull();
  await cluster.untilTrue(() => raids.list().length === 0);
  assert.deepEqual(news().slice(2), ['bdev_raid_degraded R', 'bdev_raid_degraded R', 'bdev_raid_offline R']);
  await cluster.close();
});

test('a member that could not be dropped for want of a superblock is not added a second time; it is dropped when there is one', async () => {
  const { cluster, create, call, list, raids } = await setUpRaid({ reactors: 2, roundUs: 1000 });
  for (const name of ['M0', 'M1', 'M2']) await malloc(cluster, name, 4096);
  await create('raid1', ['M0', 'M1', ''], { superblock: true });
  const faults = faultRegistry(cluster.reactors[0]);
  const superblocks = { op: 'write', action: 'error', num_blocks: 8 } as const;
  // The new member does not take its own; dropping it M1 does not, nor M0 the next one; nor the one that says so of M1.
  await cluster.until(faults.add('M2', { ...superblocks, count: 1 }));
  await cluster.until(faults.add('M1', { ...superblocks, skip: 1, count: 1 }));
  await cluster.until(faults.add('M0', { ...superblocks, skip: 2, count: 2 }));
  await call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: 'M2' });
  const [disk] = raids.list();
  await cluster.untilTrue(() => disk.slots[1].dropDue);
  assert.deepEqual(
    disk.slots.map(({ good, base }) => good && base !== null),
    [true, false, false],
  );
  const { nowUs } = cluster.clock;
  await cluster.untilTrue(() => cluster.clock.nowUs > nowUs + 3_000_000);
  assert.equal((await list('online'))[0].num_base_bdevs_operational, 1);
  assert.deepEqual(
    ['M0', 'M1', 'M2'].map((name) => cluster.bdevs.get(name).shared.descs > 0),
    [true, false, false],
    'nobody holds on to those that were dropped',
  );
  await cluster.close();
});

test('[test_raid_process] a rebuild whose target fails, is pulled, or whose disk goes, ends', async () => {
  for (const how of ['pull', 'delete', 'fail']) {
    const { cluster, create, call, list, raids } = await setUpRaid({ reactors: 2, roundUs: 10 });
    await malloc(cluster, 'M0');
    const target = await Pluggable.make(cluster, 'P1');
    await create('raid1', ['M0', '']);
    raids.options.process_window_size_kb = 4;
    raids.options.process_max_bandwidth_mb_sec = 1;
    await call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: 'P1' });
    await cluster.untilTrue(() => (raids.list()[0].process?.doneBlocks ?? 0) > 16);
    if (how === 'pull') await target.pull();
    else if (how === 'delete') await call('bdev_raid_delete', { name: 'R' });
    else raids.list()[0].memberFailed(1, raids.list()[0].slots[1].generation);
    await cluster.untilTrue(() => (raids.list()[0]?.process ?? null) === null);
    if (how !== 'delete') assert.equal((await list('online'))[0].num_base_bdevs_operational, 1, how);
    await cluster.close();
  }
});
