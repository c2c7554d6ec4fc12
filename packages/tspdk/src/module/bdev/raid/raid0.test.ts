/**
 * raid0 and concat: made, found, configured late, removed; data where it belongs, and what goes to several members goes to each once: the names in brackets are those of SPDK's bdev_raid_ut, raid0_ut
 * and concat_ut. Where the rest of them is: raid1.test.ts, raid-assembly.test.ts (superblocks), raid-map.test.ts (arithmetic). None here is test_context_size, which is about C structures.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EXTENT_HOLE, EXTENT_ZERO, Extents } from '../../../bdev/extents.ts';
import {
  IO_FLUSH,
  IO_READ,
  IO_RESET,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  IO_ZCOPY,
  ioTypes,
} from '../../../bdev/io-type.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { describeBdev } from '../../../bdev/rpc.ts';
import { stubChannel, stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, open, takeBdevIos } from '../../../bdev/stub-setup.sim.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { answering, contents, setUpRaid, stubDisks } from './raid-setup.sim.ts';

test('[test_create_raid] [test_concat_start] raid0 and concat hold what was written, from every reactor, over members of different sizes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('raid0', 'concat'),
      fc.array(fc.integer({ min: 8, max: 300 }), { minLength: 1, maxLength: 4 }),
      fc.constantFrom(1, 4, 16),
      fc.boolean(),
      fc.infiniteStream(modelBatches(256, 200)),
      async (level, sizes, strip, superblock, batches) => {
        const { cluster, create } = await setUpRaid({ reactors: 2 });
        const extra = superblock ? 2048 : 0;
        const names = sizes.map((_, i) => `M${i}`);
        const strips = (strip * 1024) / 512;
        for (const [i, name] of names.entries()) await malloc(cluster, name, extra + Math.max(sizes[i], strips));
        await create(level, names, { strip_size_kb: strip, superblock });
        const bdev = cluster.bdevs.get('R');
        const whole = sizes.map((blocks) => Math.floor(Math.max(blocks, strips) / strips) * strips);
        const sum = whole.reduce((a, b) => a + b);
        assert.equal(bdev.blocks, level === 'concat' ? sum : Math.min(...whole) * sizes.length);
        const [all] = batches.take(1);
        const fit = all.map((batch) => batch.filter(({ lba }) => lba < bdev.blocks));
        await runModel(cluster, bdev, new Uint8Array(bdev.sizeBytes), fit);
        await cluster.close();
      },
    ),
    { numRuns: 30 },
  );
});

test('[test_write_io] [test_read_io] [test_concat_rw] a write crosses strips: each member gets its own, at its place, behind its superblock', async () => {
  const { cluster, create } = await setUpRaid();
  const names = await stubDisks(cluster, 2, { blocks: 4096 });
  // Their superblocks are looked for.
  await answering(cluster, names, create('raid0', names));
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(65536);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  assert.equal(channel.write(buf, 0, 2048, 8192, cb, 'w', 1), 0);
  const at = (name: string) =>
    stubChannel(name).outstanding.map((io) => [io.type, io.byteOffset, io.bytes, io.flags & 1, io.iovs.offset[0]]);
  assert.deepEqual(at(names[0]), [
    [IO_WRITE, 2048, 2048, 1, 0],
    [IO_WRITE, 4096, 2048, 1, 6144],
  ]);
  assert.deepEqual(at(names[1]), [[IO_WRITE, 0, 4096, 1, 2048]]);
  stubChannel(names[0]).complete(2);
  stubChannel(names[1]).complete(1, -5);
  cluster.turns();
  assert.deepEqual(done, ['w -5'], 'a part that fails fails the whole');
  desc.close();
  await cluster.close();
});

/** A striped raid over stubs, ready, with a channel. */
async function onStubs(level: string, count: number, params: object = {}) {
  const { cluster, create, call, list } = await setUpRaid();
  const names = await stubDisks(cluster, count, { blocks: 64, ...params });
  await answering(cluster, names, create(level, names));
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  const stub = names.map((name) => stubChannel(name));
  const tearDown = async () => {
    desc.close();
    await cluster.close();
  };
  return { cluster, call, list, names, stub, desc, channel, done, cb, tearDown };
}

test('[test_io_channel] a member whose channel cannot be made fails the raid’s, and the others’ are given back', async () => {
  const { cluster, names, stub, desc, channel, tearDown } = await onStubs('raid0', 3);
  channel.close();
  cluster.turns();
  const members = names.map((name) => cluster.bdevs.get(name));
  const before = members.map(({ channels }) => channels.size);
  stubs.failChannel(names[2]);
  assert.throws(() => channelOf(cluster, desc), /no channel of "raid-stub-\d+" now/);
  cluster.turns();
  assert.deepEqual(
    members.map(({ channels }) => channels.size),
    before,
  );
  assert.ok(stub.every(({ outstanding }) => outstanding.length === 0));
  channelOf(cluster, desc);
  assert.deepEqual(
    members.map(({ channels }) => channels.size),
    before.map((count) => count + 1),
  );
  await tearDown();
});

test('[test_unmap_io] [test_concat_null_payload] unmap and write zeroes: one range on each member that has a part; a flush goes to all', async () => {
  for (const level of ['raid0', 'concat']) {
    const { cluster, stub, channel, done, cb, tearDown } = await onStubs(level, 3);
    // Blocks 12 to 43 of 192: strips of 8 blocks.
    assert.equal(channel.unmap(12 * 512, 32 * 512, cb, 'u'), 0);
    const at = stub.map(({ outstanding }) => outstanding.map((io) => [io.type, io.byteOffset / 512, io.bytes / 512]));
    const raid0 = [[[IO_UNMAP, 8, 8]], [[IO_UNMAP, 4, 12]], [[IO_UNMAP, 0, 12]]];
    assert.deepEqual(at, level === 'raid0' ? raid0 : [[[IO_UNMAP, 12, 32]], [], []]);
    for (const each of stub) each.complete(each.outstanding.length);
    cluster.turns();
    assert.equal(channel.writeZeroes(56 * 512, 16 * 512, 2, cb, 'z'), 0);
    const zero = stub.flatMap(({ outstanding }) => outstanding);
    assert.equal(zero.length, 2);
    assert.ok(zero.every((io) => io.type === IO_WRITE_ZEROES && io.flags === 2 && io.bytes === 8 * 512));
    for (const each of stub) each.complete(each.outstanding.length);
    cluster.turns();
    assert.equal(channel.flush(0, 512, cb, 'f'), 0);
    assert.deepEqual(
      stub.map(({ outstanding }) => outstanding.map((io) => io.type)),
      [[IO_FLUSH], [IO_FLUSH], [IO_FLUSH]],
    );
    stub[0].complete(1);
    stub[1].complete(1, -5);
    cluster.turns();
    assert.deepEqual(done, ['u 0', 'z 0'], 'it waits for all');
    stub[2].complete(1);
    cluster.turns();
    assert.deepEqual(done.slice(2), ['f -5']);
    await tearDown();
  }
});

test('[test_io_failure] what a member answers is the answer, once all have answered, and no member is given up for it', async () => {
  for (const level of ['raid0', 'concat']) {
    const { cluster, stub, channel, done, cb, list, tearDown } = await onStubs(level, 3);
    const buf = cluster.memory(65536);
    // Concat: the last strip of a member and the first of the next.
    const at = level === 'raid0' ? 0 : 56 * 512;
    for (const [name, start] of [
      ['r', () => channel.read(buf, 0, at, 8192, cb, 'r')],
      ['w', () => channel.write(buf, 0, at, 8192, cb, 'w')],
    ] as const) {
      for (const [first, second] of [
        [-5, 0],
        [0, -28],
        [-84, -5],
      ]) {
        assert.equal(start(), 0);
        stub[0].complete(1, first);
        cluster.turns();
        assert.deepEqual(done, [], 'the other has not answered');
        stub[1].complete(1, second);
        cluster.turns();
        assert.deepEqual(done.splice(0), [`${name} ${first || second}`]);
      }
    }
    assert.equal((await list('online'))[0].num_base_bdevs_operational, 3);
    await tearDown();
  }
});

test('too few BdevIos for all members: it goes on where it was, and no member is asked twice', async () => {
  const { cluster, stub, channel, done, cb, tearDown } = await onStubs('raid0', 3);
  const { pool } = channel.shared.manager;
  for (let free = 1; free <= 4; free++) {
    pool.setOptions({ ios: pool.all.length, growBy: 1 });
    const giveBack = takeBdevIos(pool, free);
    assert.equal(channel.flush(0, 512, cb, `f${free}`), 0);
    assert.equal(stub.flatMap(({ outstanding }) => outstanding).length, free - 1);
    giveBack();
    assert.deepEqual(
      stub.map(({ outstanding }) => outstanding.length),
      [1, 1, 1],
    );
    for (const each of stub) each.complete(1);
    cluster.turns();
    assert.equal(done.at(-1), `f${free} 0`);
  }
  // Aborted while it waits: nothing more is begun.
  const giveBack = takeBdevIos(pool, 2);
  assert.equal(channel.flush(0, 512, cb, 'a'), 0);
  assert.equal(channel.abort('a'), 1);
  giveBack();
  cluster.turns();
  assert.equal(done.at(-1), 'a -125');
  assert.equal(stub.flatMap(({ outstanding }) => outstanding).length, 0);
  await tearDown();
});

test('an abort ends each part of what goes to several members', async () => {
  const { cluster, stub, channel, done, cb, tearDown } = await onStubs('raid0', 3);
  channel.unmap(0, channel.bdev.sizeBytes, cb, 'u');
  assert.ok(stub.every(({ outstanding }) => outstanding.length === 1));
  assert.equal(channel.abort('u'), 1);
  cluster.turns();
  assert.deepEqual(done, ['u -125']);
  assert.ok(stub.every(({ outstanding }) => outstanding.length === 0));
  await tearDown();
});

test('[test_reset_io] a reset ends what is under way and resets each member', async () => {
  const { cluster, stub, names, channel, done, cb, tearDown } = await onStubs('raid0', 2);
  const below = names.map((name) => cluster.on(0, () => open(cluster, name, false)));
  const others = below.map((desc) => channelOf(cluster, desc));
  const buf = cluster.memory(8192);
  channel.read(buf, 0, 0, 8192, cb, 'r');
  others[1].read(buf, 0, 0, 512, cb, 'below');
  channel.flush(0, 512, cb, 'f');
  for (const each of stub) each.abortable = true;
  assert.equal(channel.reset(cb, 'reset'), 0);
  await cluster.untilTrue(() => done.length === 4);
  assert.deepEqual(new Set(done.slice(0, 2)), new Set(['r -125', 'f -125']));
  assert.deepEqual(new Set(done.slice(2)), new Set(['below -125', 'reset 0']), "a member's reset ends I/O of others");
  assert.equal(channel.read(buf, 0, 0, 512, cb, 'after'), 0);
  stub[0].complete(1);
  cluster.turns();
  assert.equal(done.at(-1), 'after 0');
  for (const desc of below) desc.close();
  await tearDown();
});

test('[test_io_type_supported] [test_raid_json_dump_info] what it takes is what all members take; what it wants are strips', async () => {
  const { cluster, create } = await setUpRaid();
  await malloc(cluster, 'M0');
  await malloc(cluster, 'M1');
  await create('raid0', ['M0', 'M1'], { strip_size_kb: 64, uuid: '6c1d5a1c-9a6e-4f0b-8f0a-2d0c3a1f9b11' });
  const raid = cluster.bdevs.get('R');
  assert.ok(raid.ioTypeSupported(IO_ZCOPY) && raid.ioTypeSupported(IO_UNMAP) && raid.ioTypeSupported(IO_RESET));
  assert.equal(raid.limits.optimalIoBoundaryBlocks, 128);
  const told = describeBdev(raid).driver_specific as { raid: Record<string, unknown> };
  assert.deepEqual(
    { ...told.raid, base_bdevs_list: null },
    {
      uuid: '6c1d5a1c-9a6e-4f0b-8f0a-2d0c3a1f9b11',
      strip_size_kb: 64,
      state: 'online',
      raid_level: 'raid0',
      superblock: false,
      num_base_bdevs: 2,
      num_base_bdevs_discovered: 2,
      num_base_bdevs_operational: 2,
      base_bdevs_list: null,
    },
  );
  assert.deepEqual((told.raid.base_bdevs_list as object[])[1], {
    name: 'M1',
    uuid: cluster.bdevs.get('M1').uuid,
    is_configured: true,
    data_offset: 0,
    data_size: 256,
  });
  await cluster.close();
  const other = await onStubs('concat', 2, { ioTypes: ioTypes(IO_READ, IO_WRITE) });
  const { bdev } = other.channel;
  assert.deepEqual([bdev.ioTypeSupported(IO_UNMAP), bdev.ioTypeSupported(IO_FLUSH)], [false, false]);
  assert.equal(bdev.ioTypeSupported(IO_WRITE_ZEROES), true, 'members write them');
  await other.tearDown();
});

test('memory of members is reached without a copy, all or nothing; what is allocated is told strip by strip', async () => {
  const { cluster, create } = await setUpRaid();
  for (const name of ['M0', 'M1']) await malloc(cluster, name, 2048);
  await create('raid0', ['M0', 'M1'], { strip_size_kb: 64 });
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const strip = 65536;
  const out = new IoVecs(2);
  assert.equal(channel.zcopy(2 * strip - 2048, 4096, out, true), false, 'for writing on one member only');
  assert.equal(out.count, 0);
  assert.equal(channel.zcopy(2 * strip, 2048, out, true), true);
  assert.deepEqual([out.count, out.offset[0]], [1, strip]);
  (out.segment[0] as NonNullable<(typeof out.segment)[0]>).u8.fill(7, strip, strip + 2048);
  channel.zcopyWritten(2 * strip, 2048);
  out.reset();
  assert.equal(channel.zcopy(2 * strip - 2048, 4096, out), true);
  assert.deepEqual([out.count, out.totalBytes, out.offset[0], out.offset[1]], [2, 4096, strip - 2048, strip]);
  assert.equal(channel.zcopy(0, strip + 512, out), false, 'no room');
  assert.deepEqual([out.count, out.totalBytes], [2, 4096]);
  out.reset();
  assert.equal(channel.zcopy(0, 2 * strip + 512, out), false);
  assert.deepEqual([out.count, out.totalBytes, out.segment[0], out.segment[1]], [0, 0, null, null]);
  const all = await contents(cluster, 'R');
  assert.deepEqual(all.subarray(2 * strip, 2 * strip + 2048), new Uint8Array(2048).fill(7));
  assert.equal(all.indexOf(7), 2 * strip);
  const extents = new Extents(8);
  assert.equal(channel.blockStatus(0, 8 * strip, extents), 0);
  const hole = EXTENT_HOLE | EXTENT_ZERO;
  const got = Array.from({ length: extents.count }, (_, i) => [extents.bytes[i], extents.flags[i]]);
  assert.deepEqual(got, [
    [2 * strip, hole],
    [strip, 0],
    [5 * strip, hole],
  ]);
  const one = new Extents(1);
  assert.equal(channel.blockStatus(strip, 8 * strip, one), 0);
  assert.deepEqual([one.count, one.bytes[0], one.flags[0]], [1, strip, hole], 'as far as there is room');
  desc.close();
  await cluster.close();
});

test('[test_create_raid_invalid_args] wrong parameters make nothing and hold nothing', async () => {
  const { cluster, create, list } = await setUpRaid();
  await malloc(cluster, 'M0');
  await malloc(cluster, 'M1');
  await malloc(cluster, 'M4k', 256, { block_size: 4096 });
  await malloc(cluster, 'Tiny', 4);
  const refused = async (code: string, level: string, bases: string[], more: object = {}) => {
    await assert.rejects(create(level, bases, more), { code }, `${level} ${bases} ${JSON.stringify(more)}`);
    assert.deepEqual(await list(), []);
  };
  await refused('EINVAL', 'raid0', ['M0', 'M1'], { strip_size_kb: 3 });
  for (const level of ['raid6', '', 'raid']) {
    await assert.rejects(create(level, ['M0', 'M1']), /parameter 'raid_level' is ".*"; one of: raid0 0 raid1 1/);
    assert.deepEqual(await list(), []);
  }
  await refused('EINVAL', 'concat', ['M0', 'M1'], { strip_size_kb: 0 });
  await refused('EINVAL', 'raid1', ['M0', 'M1'], { strip_size_kb: 4 });
  await refused('EINVAL', 'raid1', ['M0']);
  await refused('EINVAL', 'raid1', ['', '']);
  await refused('EINVAL', 'raid5f', ['M0', 'M1']);
  await refused('EINVAL', 'raid0', []);
  await refused('EINVAL', 'raid0', ['M0', '']);
  await refused('EINVAL', 'raid0', ['M0', 'M4k']);
  await refused('EINVAL', 'raid0', ['M0', 'Tiny']);
  await refused('EINVAL', 'raid0', ['M0', 'M1'], { superblock: true });
  await refused('EEXIST', 'raid0', ['M0', 'M0']);
  await refused('EEXIST', 'raid0', ['M0', 'M1'], { name: 'Tiny' });
  const writer = open(cluster, 'M1');
  assert.equal(writer.write, true);
  writer.close();
  const holder = await create('raid0', ['M1'], { name: 'Q' });
  assert.equal(holder, true);
  await assert.rejects(create('raid0', ['M0', 'M1']), { code: 'EPERM' });
  assert.deepEqual(
    (await list()).map(({ name }) => name),
    ['Q'],
  );
  open(cluster, 'M0').close();
  await cluster.close();
});

test('[test_delete_raid_invalid_args] a raid waits for its members, is told as configuring, and is in the configuration; its members may go before it starts', async () => {
  const { cluster, create, list, call, settle, raids } = await setUpRaid({ reactors: 2 });
  await malloc(cluster, 'M0');
  await create('raid0', ['M0', 'M1'], { uuid: '6c1d5a1c-9a6e-4f0b-8f0a-2d0c3a1f9b12' });
  assert.equal(cluster.bdevs.list().length, 1);
  assert.throws(() => open(cluster, 'M0'), { code: 'EPERM' }, 'what is there is claimed');
  assert.deepEqual(
    (await list('configuring')).map(({ name, num_base_bdevs_discovered: n }) => [name, n]),
    [['R', 1]],
  );
  assert.deepEqual(await list('online'), []);
  await assert.rejects(create('raid0', ['M5']), { code: 'EEXIST' });
  const params = {
    name: 'R',
    uuid: '6c1d5a1c-9a6e-4f0b-8f0a-2d0c3a1f9b12',
    raid_level: 'raid0',
    strip_size_kb: 4,
    base_bdevs: ['M0', 'M1'],
    superblock: false,
  };
  assert.deepEqual(raids.configCalls()[1], { method: 'bdev_raid_create', params });
  await cluster.until(cluster.bdevs.delete('M0'));
  assert.equal((await list())[0].num_base_bdevs_discovered, 0);
  await malloc(cluster, 'M1');
  await settle();
  await malloc(cluster, 'M0');
  await settle();
  assert.deepEqual(
    (await list('online')).map(({ name }) => name),
    ['R'],
  );
  const saved = cluster.bdevs.configCalls().filter(({ method }) => method === 'bdev_raid_create');
  assert.deepEqual(saved, [{ method: 'bdev_raid_create', params }]);
  await call('bdev_raid_delete', { name: 'R' });
  assert.deepEqual(await list(), []);
  open(cluster, 'M0').close();
  await create('raid0', ['M7']);
  await call('bdev_raid_delete', { name: 'R' });
  await assert.rejects(call('bdev_raid_delete', { name: 'R' }), { code: 'ENODEV' });
  await assert.rejects(call('bdev_raid_get_bdevs', { category: 'broken' }));
  await cluster.close();
});

test('[test_delete_raid] it goes with any member, and lets the others go; users are told and their I/O ends', async () => {
  const { cluster, create, list } = await setUpRaid({ reactors: 2 });
  for (const name of ['M0', 'M1', 'M2']) await malloc(cluster, name);
  await create('concat', ['M0', 'M1', 'M2']);
  const events: string[] = [];
  const desc = open(cluster, 'R', true, events);
  const channel = channelOf(cluster, desc);
  const removal = cluster.bdevs.delete('M1');
  await cluster.untilTrue(() => events.length === 1);
  assert.deepEqual(events, ['remove R']);
  assert.equal((await list('offline')).length, 1);
  assert.equal(
    channel.read(cluster.memory(512), 0, 0, 512, () => {}, null),
    -19,
  );
  desc.close();
  await cluster.until(removal);
  await cluster.untilTrue(() => cluster.bdevs.list().length === 2);
  assert.deepEqual(await list(), []);
  for (const name of ['M0', 'M2']) open(cluster, name).close();
  await cluster.close();
});

test('[test_multi_raid] several raids, one on another; all go when everything goes, whatever was made last', async () => {
  const { cluster, create, settle } = await setUpRaid();
  await create('raid0', ['M0', 'M1'], { name: 'A' });
  await create('concat', ['M2', 'A'], { name: 'B' });
  for (const name of ['M2', 'M1', 'M0']) await malloc(cluster, name);
  await settle();
  await settle();
  assert.deepEqual(
    cluster.bdevs.list().map(({ name, blocks }) => `${name} ${blocks}`),
    ['M2 256', 'M1 256', 'M0 256', 'A 512', 'B 768'],
  );
  await malloc(cluster, 'M9');
  await cluster.close();
});
