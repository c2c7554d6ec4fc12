/**
 * The block layer's contract on one reactor: names, opening, claims, ranges, types, completions, statistics. In many-reactors.test.ts: what spans cores; in io.test.ts: the life of an I/O;
 * in split.test.ts, compare.test.ts and qos.test.ts: I/Os in pieces, compares, copies and locks of ranges, rate limits.
 *
 * Checklist: SPDK's test/unit/lib/bdev/bdev.c (bdev_ut) and mt/bdev.c (bdev_ut of mt); titles carry their names.
 * Elsewhere: alignment, bdev_io_ext_bounce_buffer (alignment.test.ts), examine (examiner.test.ts), histograms and set_qd_sampling (observe.test.ts), set_io_timeout (io-timeout.test.ts), DIF and the other bdev_io_ext (metadata.test.ts).
 * No such thing here: memory domains (get_memory_domains, get_memory_domain_types), numa_id, write_uncorrectable (an NVMe command; here a fault rule has a block fail).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IoVecs } from '../env/iovecs.ts';
import { malloc } from '../module/bdev/malloc/malloc-setup.sim.ts';
import '../module/bdev/null/null-bdev.ts';
import type { BdevChannel } from './channel.ts';
import { startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { EXTENT_HOLE, Extents } from './extents.ts';
import { IO_READ, ioTypes } from './io-type.ts';
import { describeBdev } from './rpc.ts';
import {
  type BdevClaim,
  CLAIM_READ_MANY_WRITE_NONE,
  CLAIM_READ_MANY_WRITE_ONE,
  CLAIM_READ_MANY_WRITE_SHARED,
} from './shared-state.ts';
import { stubChannel, stubs } from './stub-module.sim.ts';
import { channelOf, make, open, setUp } from './stub-setup.sim.ts';

test('bytes_to_blocks, num_blocks, io_valid: a request outside the disk or off its blocks never reaches the module', async () => {
  const { channel, buf, cb, stub, desc, tearDown } = await setUp({ blocks: 1024, blockSizeBytes: 512 });
  const size = 1024 * 512;
  assert.deepEqual([desc.bdev.blocks, desc.bdev.sizeBytes], [1024, size]);
  const read = (at: number, bytes: number) => channel.read(buf, 0, at, bytes, cb, 0);
  for (const [at, bytes] of [
    [0, 512],
    [size - 512, 512],
    [1024, 65536],
  ]) {
    assert.equal(read(at, bytes), 0, `${at} ${bytes}`);
  }
  for (const [at, bytes] of [
    [0, 0],
    [0, 511],
    [1, 512],
    [512, 513],
    [size, 512],
    [size - 512, 1024],
    [-512, 512],
    [0, -512],
    [Number.NaN, 512],
    [0, Number.NaN],
    [Number.POSITIVE_INFINITY, 512],
    [2 ** 53, 512],
    [0.5, 512],
  ]) {
    assert.equal(read(at, bytes), -22, `${at} ${bytes}`);
    assert.equal(channel.unmap(at, bytes, cb, 0), -22);
    assert.equal(channel.writeZeroes(at, bytes, 0, cb, 0), -22);
  }
  // Memory: all of it inside its segment.
  assert.equal(channel.read(buf, 65536 - 511, 0, 512, cb, 0), -22);
  assert.equal(channel.write(buf, -1, 0, 512, cb, 0), -22);
  const iovs = new IoVecs(2);
  iovs.push(buf, 0, 256);
  assert.equal(channel.readv(iovs, 0, cb, 0), -22, 'half a block');
  iovs.push(buf, 65536, 256);
  assert.equal(channel.writev(iovs, 0, cb, 0), -22, 'a piece outside its segment');
  assert.equal(stub.outstanding.length, 3);
  stub.complete(3);
  await tearDown();
});

test('io_valid: the checks of range and whole blocks are exact for every safe integer', async () => {
  for (const [block, md] of [
    [512, 0],
    [520, 8],
    [4096, 0],
    [4160, 64],
    [65536, 0],
  ]) {
    const blocks = Math.floor(Number.MAX_SAFE_INTEGER / block);
    const format = { bytes: md, interleaved: true, difType: 0, difIsHeadOfMd: false, difFlags: 0 };
    const metadata = md === 0 ? {} : { metadata: format };
    const { cluster, channel, stub, tearDown } = await setUp({ blocks, blockSizeBytes: block, ...metadata });
    const around = fc.nat(blocks).chain((n) => fc.integer({ min: -2, max: 2 }).map((by) => n * block + by));
    const number = fc.oneof(fc.maxSafeNat(), around, fc.nat(1 << 20), fc.constantFrom(0, block, 2 ** 31, 2 ** 32));
    fc.assert(
      fc.property(number, number, (at, bytes) => {
        const whole = BigInt(at) % BigInt(block) === 0n && BigInt(bytes) % BigInt(block) === 0n;
        const inside = at >= 0 && bytes > 0 && BigInt(at) + BigInt(bytes) <= BigInt(blocks) * BigInt(block);
        assert.equal(
          channel.unmap(at, bytes, () => {}, null),
          whole && inside ? 0 : -22,
        );
        stub.complete(1);
      }),
      { numRuns: 2000 },
    );
    cluster.turns();
    await tearDown();
  }
});

test('open_write, bdev_open_ext: read-only descriptors and disks cannot change data', async () => {
  const { cluster, buf, cb, tearDown } = await setUp();
  const reader = open(cluster, 'S', false);
  const channel = channelOf(cluster, reader);
  assert.equal(channel.write(buf, 0, 0, 512, cb, 0), -9);
  assert.equal(channel.unmap(0, 512, cb, 0), -9);
  assert.equal(channel.writeZeroes(0, 512, 0, cb, 0), -9);
  assert.equal(channel.read(buf, 0, 0, 512, cb, 0), 0);
  stubChannel('S').complete(1);
  assert.throws(() => open(cluster, 'missing'), { code: 'ENODEV', message: /"missing"/ });
  reader.close();
  reader.close();
  assert.throws(() => reader.getIoChannel(), { code: 'EBADF' });
  assert.equal(channel.read(buf, 0, 0, 512, cb, 0), -19, 'a closed channel takes nothing');
  await make(cluster, { name: 'RO', writable: false, ioTypes: ioTypes(IO_READ) });
  assert.throws(() => open(cluster, 'RO', true), { code: 'EROFS' });
  await tearDown();
});

test('claim: one exclusive writer, found out by all who open', async () => {
  const cluster = await startCluster();
  const bdev = await make(cluster, { name: 'C' });
  const before = open(cluster, 'C', true);
  const owner = open(cluster, 'C', false);
  owner.claim();
  assert.equal(owner.write, true, 'a claim makes its descriptor a writer');
  assert.equal(describeBdev(bdev).claimed, true);
  assert.equal(describeBdev(bdev).claim_type, 'exclusive_write');
  assert.throws(() => open(cluster, 'C', true), { code: 'EPERM' });
  assert.throws(() => before.claim(), { code: 'EPERM' });
  const reader = open(cluster, 'C', false);
  assert.equal(bdev.shared.writers, 2);
  owner.releaseClaim();
  assert.throws(() => owner.releaseClaim(), { code: 'EINVAL' });
  before.claim();
  before.close();
  assert.equal(describeBdev(bdev).claimed, false, 'closing gives the claim up');
  owner.close();
  reader.close();
  assert.equal(bdev.shared.writers, 0);
  assert.equal(bdev.shared.descs, 0);
  await cluster.close();
});

test('a disk whose module fails when it is there is taken back from every core', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await assert.rejects(make(cluster, { name: 'F', failMade: true }), /it fails when it is there/);
  assert.deepEqual(cluster.bdevs.list(), []);
  assert.deepEqual(
    stubs.destroyed.filter((name) => name === 'F'),
    ['F'],
  );
  await make(cluster, { name: 'F' });
  await cluster.close();
});

test('claim_v2_rwo, claim_v2_existing_writer: one writer, who must be the only one from the start', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const bdev = await make(cluster, { name: 'C' });
  const owner = open(cluster, 'C', false);
  const writer = open(cluster, 'C', true);
  const type = CLAIM_READ_MANY_WRITE_ONE;
  assert.throws(() => owner.claim({ type }), { code: 'EPERM', message: /others have it open for writing/ });
  assert.equal(bdev.shared.claim, 0);
  writer.close();
  assert.throws(() => owner.claim({ type, key: 1n }), { code: 'EINVAL' });
  const claim = owner.claim({ type });
  assert.equal(describeBdev(bdev).claim_type, 'read_many_write_one');
  assert.throws(() => open(cluster, 'C', true), { code: 'EPERM' });
  const other = open(cluster, 'C', false);
  for (const another of [1, 2, 3, 4]) {
    assert.throws(() => other.claim({ type: another, ...(another === 4 ? { key: 1n } : {}) }), { code: 'EPERM' });
  }
  // The claimant itself, on another core.
  const there = (shown: BdevClaim) =>
    cluster.on(1, () => BdevDesc.open('C', { write: true, claim: shown, onEvent: () => {} }));
  there(claim).close();
  assert.throws(() => there({ ...claim, id: claim.id + 1 }), { code: 'EPERM' });
  const mine = there(claim);
  assert.throws(() => cluster.on(1, () => mine.claim()), { code: 'EWRONGTHREAD' });
  mine.close();
  other.close();
  owner.close();
  assert.equal(bdev.shared.claim, 0);
  const sole = open(cluster, 'C', true);
  sole.claim({ type });
  sole.close();
  assert.equal(bdev.shared.writers, 0);
  await cluster.close();
});

test('claim_v2_rom: any number of readers, and no writer', async () => {
  const cluster = await startCluster();
  const bdev = await make(cluster, { name: 'C' });
  const type = CLAIM_READ_MANY_WRITE_NONE;
  const writer = open(cluster, 'C', true);
  const first = open(cluster, 'C', false);
  assert.throws(() => writer.claim({ type }), { code: 'EINVAL' });
  assert.throws(() => first.claim({ type }), { code: 'EPERM' });
  writer.close();
  const claim = first.claim({ type });
  assert.equal(first.write, false);
  const second = open(cluster, 'C', false);
  second.claim({ type });
  assert.throws(() => BdevDesc.open('C', { write: true, claim, reactor: cluster.reactors[0], onEvent: () => {} }), {
    code: 'EPERM',
  });
  first.close();
  assert.equal(describeBdev(bdev).claim_type, 'read_many_write_none');
  assert.throws(() => open(cluster, 'C', true), { code: 'EPERM' });
  second.close();
  open(cluster, 'C', true).close();
  await cluster.close();
});

test('claim_v2_rwm: those with the same key write, others do not', async () => {
  const cluster = await startCluster();
  const bdev = await make(cluster, { name: 'C' });
  const type = CLAIM_READ_MANY_WRITE_SHARED;
  const key = 0xfedc_ba98_7654_3210n;
  const [first, second, third] = [1, 2, 3].map(() => open(cluster, 'C', false));
  assert.throws(() => first.claim({ type }), { code: 'EINVAL' });
  first.claim({ type, key });
  second.claim({ type, key });
  assert.throws(() => third.claim({ type, key: key + 1n }), { code: 'EPERM' });
  assert.deepEqual([first.write, second.write, third.write, bdev.shared.writers], [true, true, false, 2]);
  first.close();
  assert.throws(() => open(cluster, 'C', true), { code: 'EPERM' });
  second.close();
  third.claim({ type, key: 1n });
  third.close();
  assert.deepEqual([bdev.shared.claim, bdev.shared.writers, bdev.shared.descs], [0, 0, 0]);
  await cluster.close();
});

test('alias_add_del, alias_add_del_all, bdev_register_uuid_alias: a disk is found by every name it has, and by no other', async () => {
  const cluster = await startCluster();
  const uuid = '00112233-4455-6677-8899-aabbccddeeff';
  const bdev = await make(cluster, { name: 'A', uuid: uuid.toUpperCase(), aliases: ['first'] });
  assert.equal(bdev.uuid, uuid);
  assert.deepEqual(bdev.aliases, ['first', uuid]);
  for (const name of ['A', 'first', uuid]) assert.equal(cluster.bdevs.get(name), bdev);
  await cluster.until(cluster.bdevs.addAlias('A', 'second'));
  await cluster.until(cluster.bdevs.addAlias('second', 'third'));
  for (const taken of ['A', 'second', uuid]) {
    await assert.rejects(cluster.until(cluster.bdevs.addAlias('A', taken)), { code: 'EEXIST' });
    await assert.rejects(make(cluster, { name: taken }), { code: 'EEXIST' });
  }
  await assert.rejects(make(cluster, { name: 'B', uuid }), { code: 'EEXIST' });
  await cluster.until(cluster.bdevs.deleteAlias('A', 'second'));
  assert.throws(() => cluster.bdevs.get('second'), { code: 'ENODEV' });
  await assert.rejects(cluster.until(cluster.bdevs.deleteAlias('A', 'second')), { code: 'ENOENT' });
  await assert.rejects(cluster.until(cluster.bdevs.deleteAlias('A', 'A')), { code: 'ENOENT' }, 'the name is no alias');
  await cluster.until(cluster.bdevs.deleteAllAliases('A'));
  assert.deepEqual(bdev.aliases, []);
  assert.equal(cluster.bdevs.get('A'), bdev);
  await cluster.until(cluster.bdevs.delete('A'));
  await make(cluster, { name: 'first', uuid });
  await cluster.close();
});

test('get_device_stat, get_device_stat_with_reset: operations, bytes, latencies and errors by kind', async () => {
  const { cluster, channel, buf, cb, stub, tearDown } = await setUp();
  const io = (submit: () => number, us: number, status = 0) => {
    assert.equal(submit(), 0);
    cluster.clock.nowUs += us;
    stub.complete(1, status);
  };
  io(() => channel.read(buf, 0, 0, 4096, cb, 0), 30);
  io(() => channel.read(buf, 0, 0, 512, cb, 0), 10);
  io(() => channel.write(buf, 0, 0, 1024, cb, 0), 5);
  io(() => channel.unmap(0, 8192, cb, 0), 7);
  io(() => channel.read(buf, 0, 0, 512, cb, 0), 1000, -5);
  io(() => channel.flush(0, 512, cb, 0), 1000, -125);
  const stat = async (mode?: 'all' | 'maxmin' | 'error' | 'none') =>
    (await cluster.until(cluster.bdevs.stat(['S'], mode)))[0].stat.toJson();
  const first = await stat('maxmin');
  assert.deepEqual(first, {
    bytes_read: 4608,
    num_read_ops: 2,
    bytes_written: 1024,
    num_write_ops: 1,
    bytes_unmapped: 8192,
    num_unmap_ops: 1,
    bytes_copied: 0,
    num_copy_ops: 0,
    read_latency_ticks: 40,
    max_read_latency_ticks: 30,
    min_read_latency_ticks: 10,
    write_latency_ticks: 5,
    max_write_latency_ticks: 5,
    min_write_latency_ticks: 5,
    unmap_latency_ticks: 7,
    max_unmap_latency_ticks: 7,
    min_unmap_latency_ticks: 7,
    copy_latency_ticks: 0,
    max_copy_latency_ticks: 0,
    min_copy_latency_ticks: 0,
    io_error: { aborted: 1, failed: 1 },
  });
  io(() => channel.read(buf, 0, 0, 512, cb, 0), 20);
  const second = await stat('error');
  assert.deepEqual(
    [second.num_read_ops, second.max_read_latency_ticks, second.min_read_latency_ticks, second.max_write_latency_ticks],
    [3, 20, 20, 0],
  );
  assert.deepEqual((await stat()).io_error, {});
  assert.equal((await stat('all')).num_read_ops, 3);
  assert.equal((await stat()).num_read_ops, 0);
  channel.close();
  cluster.turns();
  await tearDown();
});

test('statistics outlive the channel that counted them', async () => {
  const { cluster, desc, channel, buf, cb, stub, tearDown } = await setUp();
  channel.read(buf, 0, 0, 512, cb, 0);
  stub.complete(1);
  channel.close();
  cluster.turns();
  assert.equal(stub.closed, true);
  const again = channelOf(cluster, desc);
  again.read(buf, 0, 0, 512, cb, 0);
  stubChannel('S').complete(1);
  const [{ stat, channels }] = await cluster.until(cluster.bdevs.stat(['S']));
  assert.equal(stat.toJson().num_read_ops, 2);
  assert.deepEqual(
    channels.map((row) => [row.thread, row.stat.toJson().num_read_ops]),
    [[cluster.threads[0].id, 1]],
  );
  await tearDown();
});

test('bdev_set_options: a pool smaller than its cache, or larger than there may be, is refused', async () => {
  const cluster = await startCluster();
  await assert.rejects(cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 10, bdev_io_cache_size: 11 })), {
    code: 'EINVAL',
    message: 'Pool size 10 too small for cache size 11',
  });
  for (const bdev_io_pool_size of [524289, 0xffffffff, Number.NaN, 512.5]) {
    await assert.rejects(cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size })), {
      code: 'EINVAL',
      message: `bdev_io_pool_size ${bdev_io_pool_size}, limit 1 to 524288`,
    });
    assert.equal(cluster.bdevs.options.bdev_io_pool_size, 65535);
  }
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 20, bdev_io_cache_size: 10 }));
  assert.equal(cluster.bdevs.configCalls()[0].params.bdev_io_pool_size, 20);
  await cluster.close();
});

test('for_each_bdev, bdev_unregister_by_name: the list in order of making; only the right module removes', async () => {
  const cluster = await startCluster();
  for (const name of ['z', 'a', 'm']) await make(cluster, { name });
  const names = () => cluster.bdevs.list().map((bdev) => bdev.name);
  assert.deepEqual(names(), ['z', 'a', 'm']);
  await assert.rejects(cluster.until(cluster.bdevs.delete('a', 'malloc')), { code: 'ENODEV' });
  await cluster.until(cluster.bdevs.delete('a', 'stub'));
  assert.deepEqual(names(), ['z', 'm']);
  await assert.rejects(cluster.until(cluster.bdevs.delete('a')), { code: 'ENODEV' });
  await cluster.close();
});

test('bdev_open_ext_unregister, unregister_and_close: a removed disk goes when its last descriptor closes', async () => {
  const cluster = await startCluster();
  await make(cluster, { name: 'R' });
  const events: string[] = [];
  const descs = [open(cluster, 'R', true, events), open(cluster, 'R', false, events)];
  const channel = channelOf(cluster, descs[0]);
  stubs.destroyed.length = 0;
  let gone = false;
  const removal = cluster.bdevs.delete('R').then(() => {
    gone = true;
  });
  await cluster.untilTrue(() => events.length === 2);
  assert.deepEqual(events, ['remove R', 'remove R']);
  assert.throws(() => open(cluster, 'R'), { code: 'ENODEV' });
  assert.throws(() => channelOf(cluster, descs[1]), { code: 'ENODEV' });
  await assert.rejects(make(cluster, { name: 'R' }), { code: 'EEXIST' }, 'the name is taken until it is gone');
  stubs.destroyed.length = 0;
  descs[1].close();
  cluster.turns();
  assert.equal(gone, false);
  channel.close();
  descs[0].close();
  await cluster.until(removal);
  assert.deepEqual(stubs.destroyed, ['R']);
  await make(cluster, { name: 'R' });
  await cluster.close();
});

test('bdev_open_while_hotremove, bdev_close_while_hotremove: I/O under way ends with -ENODEV after the event, then the disk goes', async () => {
  const { cluster, desc, channel, buf, cb, stub, done, tearDown } = await setUp();
  stub.depth = 1;
  channel.read(buf, 0, 0, 512, cb, 'module');
  channel.read(buf, 0, 0, 512, cb, 'waits');
  const removal = cluster.bdevs.delete('S');
  await cluster.untilTrue(() => done.length === 1);
  assert.deepEqual(done, ['waits -19']);
  assert.equal(channel.read(buf, 0, 0, 512, cb, 'late'), -19);
  assert.equal(channel.reset(cb, 'late'), -19);
  desc.close();
  cluster.turns();
  assert.equal(stub.closed, false, 'the module still has an I/O');
  stub.complete(1);
  assert.deepEqual(done, ['waits -19', 'module -19']);
  await cluster.until(removal);
  assert.equal(stub.closed, true);
  await tearDown();
});

test('event_notify_and_close: a descriptor may close itself in its event', async () => {
  const cluster = await startCluster();
  await make(cluster, { name: 'E' });
  const events: string[] = [];
  const other = open(cluster, 'E', false, events);
  const desc: BdevDesc = cluster.on(0, () =>
    BdevDesc.open('E', {
      write: false,
      onEvent: (event) => {
        events.push(event);
        if (event !== 'resize') desc.close();
        else other.close();
      },
    }),
  );
  await cluster.until(cluster.bdevs.resize('E', 2048));
  await cluster.until(cluster.bdevs.delete('E'));
  assert.deepEqual(events, ['resize E', 'resize', 'remove']);
  await cluster.close();
});

test('resize: told to all, refused when it would shrink under somebody', async () => {
  const { cluster, desc, channel, buf, cb, stub, tearDown } = await setUp();
  await cluster.until(cluster.bdevs.resize('S', 2048));
  assert.equal(channel.read(buf, 0, 2047 * 512, 512, cb, 0), 0);
  stub.complete(1);
  await assert.rejects(cluster.until(cluster.bdevs.resize('S', 1024)), { code: 'EBUSY' });
  await assert.rejects(cluster.until(cluster.bdevs.resize('S', 0)), { code: 'EINVAL' });
  desc.close();
  cluster.turns();
  await cluster.until(cluster.bdevs.resize('S', 1024));
  assert.equal(cluster.bdevs.get('S').sizeBytes, 1024 * 512);
  await tearDown();
});

test('bdev_seek_test: where data and holes begin is told by block status; a disk that cannot tell has data alone', async () => {
  const cluster = await startCluster();
  await malloc(cluster, 'M', 4096);
  await make(cluster, { name: 'Seek' });
  const chunk = 65536;
  const buf = cluster.memory(chunk);
  const seek = (channel: BdevChannel, from: number, hole: boolean): number => {
    const extents = new Extents(16);
    let at = from;
    while (at < channel.bdev.sizeBytes) {
      extents.reset();
      assert.equal(channel.blockStatus(at, channel.bdev.sizeBytes - at, extents), 0);
      for (let i = 0; i < extents.count; i++) {
        if (((extents.flags[i] & EXTENT_HOLE) !== 0) === hole) return at;
        at += extents.bytes[i];
      }
    }
    return -1;
  };
  const descs = [open(cluster, 'M'), open(cluster, 'Seek')];
  const [memory, stub] = descs.map((desc) => channelOf(cluster, desc));
  assert.deepEqual([seek(memory, 0, false), seek(memory, 512, true)], [-1, 512], 'nothing is written');
  assert.equal(
    memory.write(buf, 0, 3 * chunk, chunk, () => {}, null),
    0,
  );
  cluster.turns();
  assert.deepEqual(
    [seek(memory, 0, false), seek(memory, 3 * chunk, true), seek(memory, 4 * chunk, false)],
    [3 * chunk, 4 * chunk, -1],
  );
  assert.deepEqual([seek(stub, 1024, false), seek(stub, 0, true)], [1024, -1]);
  for (const desc of descs) desc.close();
  await cluster.close();
});

test('waitFor: answers when the disk comes, or that it has not', async () => {
  const cluster = await startCluster();
  const coming = cluster.bdevs.waitFor('W', 60_000);
  const bdev = await make(cluster, { name: 'W' });
  assert.equal(await coming, bdev);
  assert.equal(await cluster.bdevs.waitFor('W', 0), bdev);
  await assert.rejects(cluster.bdevs.waitFor('never', 0), { code: 'ENODEV' });
  await assert.rejects(cluster.until(cluster.bdevs.waitFor('never', 1)), { code: 'ENODEV' });
  await cluster.close();
});
