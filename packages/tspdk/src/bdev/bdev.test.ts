/**
 * The block layer's contract on one reactor: names, opening, claims, ranges, types, completions, statistics. In many-reactors.test.ts: what spans cores.
 *
 * Checklist: SPDK's test/unit/lib/bdev/bdev.c (bdev_ut) and mt/bdev.c (bdev_ut of mt); titles carry their names.
 * They do not apply, or come with the full block layer: spans_split, boundary_split, max_size_and_segment_split, mix_split, split_with_io_wait,
 * write_unit_split, alignment, alignment_with_boundary (the layer does not split yet); histograms, write_uncorrectable, compare*, LBA range locks,
 * quiesce, copy, qos, set_io_timeout, set_qd_sampling, claim_v2_*, DIF, ext options: not there yet. get_memory_domains, numa_id: no such thing here.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IoVecs } from '../env/iovecs.ts';
import '../module/bdev/malloc/malloc-bdev.ts';
import '../module/bdev/null/null-bdev.ts';
import { BdevIoPool } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc, type BdevEvent } from './desc.ts';
import { IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE, IO_WRITE_ZEROES, IO_ZCOPY, ioTypes } from './io-type.ts';
import { describeBdev } from './rpc.ts';
import { type StubParams, stubChannel, stubs } from './stub-module.sim.ts';

const make = (cluster: Cluster, params: StubParams) => cluster.until(cluster.bdevs.create('stub', params));
const open = (cluster: Cluster, name: string, write = true, events: string[] = []) =>
  cluster.on(0, () =>
    BdevDesc.open(name, { write, onEvent: (event: BdevEvent, bdev) => void events.push(`${event} ${bdev.name}`) }),
  );
const channelOf = (cluster: Cluster, desc: BdevDesc): BdevChannel => cluster.on(0, () => desc.getIoChannel());

/** A stub disk, open, with a channel and a list of what completed. */
async function setUp(params: Partial<StubParams> = {}) {
  const cluster = await startCluster();
  await make(cluster, { name: 'S', ...params });
  const desc = open(cluster, 'S', params.writable ?? true);
  const channel = channelOf(cluster, desc);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  const buf = cluster.memory(65536);
  const tearDown = async (): Promise<void> => {
    desc.close();
    await cluster.close();
  };
  return { cluster, desc, channel, done, cb, buf, stub: stubChannel('S'), tearDown };
}

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

test('io_valid: the alignment check is exact for every safe integer', () => {
  // The same expression as in channel.ts, against BigInt.
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.constantFrom(512, 520, 4096, 4160, 65536), (offset, block) => {
      const aligned = Math.floor(offset / block) * block === offset;
      return aligned === (BigInt(offset) % BigInt(block) === 0n);
    }),
    { numRuns: 20000 },
  );
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

test('bdev_io_types: what the module lacks is refused before it sees it; zeroes are emulated', async () => {
  const { channel, buf, cb, stub, desc, tearDown } = await setUp({ ioTypes: ioTypes(IO_READ, IO_WRITE) });
  assert.equal(channel.unmap(0, 512, cb, 0), -95);
  assert.equal(channel.flush(0, 512, cb, 0), -95);
  assert.equal(channel.zcopy(0, 512, new IoVecs(1)), false);
  for (const [type, supported] of [
    [IO_READ, true],
    [IO_WRITE, true],
    [IO_UNMAP, false],
    [IO_FLUSH, false],
    [IO_WRITE_ZEROES, true],
    [IO_ZCOPY, false],
  ] as const) {
    assert.equal(desc.bdev.ioTypeSupported(type), supported, `type ${type}`);
  }
  assert.equal(channel.read(buf, 0, 0, 512, cb, 0), 0);
  assert.equal(stub.outstanding.length, 1);
  stub.complete(1);
  const { supported_io_types: types } = describeBdev(desc.bdev) as { supported_io_types: Record<string, boolean> };
  assert.deepEqual(
    Object.keys(types).filter((name) => types[name]),
    ['read', 'write', 'reset', 'write_zeroes', 'abort'],
  );
  await tearDown();
});

test('bdev_write_zeroes, bdev_write_zeroes_split: emulated as writes of zeroes, one after the other, the first error ending it', async () => {
  const mib = 1024 * 1024;
  const { cluster, channel, cb, stub, done, tearDown } = await setUp({
    ioTypes: ioTypes(IO_READ, IO_WRITE),
    blocks: 8192,
  });
  assert.equal(channel.writeZeroes(512, 2 * mib + 1024, 0, cb, 'z'), 0);
  for (const [at, bytes] of [
    [512, mib],
    [512 + mib, mib],
    [512 + 2 * mib, 1024],
  ]) {
    assert.equal(stub.outstanding.length, 1);
    const [io] = stub.outstanding;
    assert.deepEqual([io.type, io.byteOffset, io.bytes, io.iovs.totalBytes], [IO_WRITE, at, bytes, bytes]);
    const { u8 } = io.iovs.segment[0] as { u8: Uint8Array };
    assert.ok(u8.subarray(io.iovs.offset[0], io.iovs.offset[0] + bytes).every((byte) => byte === 0));
    assert.deepEqual(done, []);
    stub.complete(1);
  }
  cluster.turns();
  assert.deepEqual(done, ['z 0']);
  channel.writeZeroes(0, 2 * mib, 0, cb, 'y');
  stub.complete(1, -5);
  cluster.turns();
  assert.deepEqual(done, ['z 0', 'y -5']);
  assert.equal(stub.outstanding.length, 0);
  await tearDown();
});

test('bdev_io_wait: an empty pool says -ENOMEM, waiters come first and in order, on their thread', async () => {
  const { cluster, channel, buf, cb, stub, tearDown } = await setUp();
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 4, bdev_io_cache_size: 2 }));
  const read = (ctx: unknown) => channel.read(buf, 0, 0, 512, cb, ctx);
  for (let i = 0; i < 4; i++) assert.equal(read(i), 0);
  assert.equal(read(9), -12);
  const order: string[] = [];
  const waiter = (name: string) => ({
    onReady: () => {
      order.push(name);
      assert.equal(read(name), 0);
    },
  });
  const [a, b, c] = ['a', 'b', 'c'].map(waiter);
  for (const entry of [a, b, c]) channel.queueIoWait(entry);
  assert.throws(() => channel.queueIoWait(a), { code: 'EINVAL' });
  assert.equal(channel.cancelIoWait(b), true);
  assert.equal(channel.cancelIoWait(b), false);
  stub.complete(1);
  assert.deepEqual(order, ['a']);
  assert.equal(read(9), -12, 'nobody overtakes');
  stub.complete(2);
  assert.deepEqual(order, ['a', 'c']);
  assert.equal(read(9), 0);
  stub.complete(10);
  assert.equal(stub.outstanding.length, 0);
  await tearDown();
});

test('bdev_io_wait: while somebody waits, nobody else gets one that is free', () => {
  const pool = new BdevIoPool({ ios: 2, growBy: 1 });
  const io = pool.get();
  const taken: unknown[] = [];
  const entry = { onReady: () => void taken.push(pool.get()) };
  pool.wait(entry, null);
  assert.equal(pool.get(), null);
  assert.equal(pool.used, 1);
  pool.wake();
  assert.equal(taken.length, 1);
  assert.notEqual(taken[0], null);
  assert.equal(pool.get(), null, 'two is the limit');
  pool.wait(entry, null);
  pool.setOptions({ ios: 3, growBy: 1 });
  assert.equal(taken.length, 2, 'a larger pool serves who waits');
  assert.equal(pool.waiting, 0);
  if (io !== null) pool.put(io);
  assert.equal(pool.used, 2);
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

test('completions: once, never from inside the submit, and a callback may submit for ever without a deeper stack', async () => {
  const cluster = await startCluster();
  await cluster.until(cluster.bdevs.create('null', { name: 'N', block_size: 512, num_blocks: 8 }));
  const desc = open(cluster, 'N');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(512);
  let left = 50000;
  let inside = false;
  const cb = (): void => {
    assert.equal(inside, false, 'never from inside the submit');
    if (left-- === 0) return;
    inside = true;
    assert.equal(channel.read(buf, 0, 0, 512, cb, null), 0);
    inside = false;
  };
  cb();
  cluster.turns();
  assert.equal(left, -1);
  desc.close();
  await cluster.close();
});

test('completions: the callback runs on the thread of its channel', async () => {
  const { cluster, channel, buf, stub, tearDown } = await setUp();
  const threads: unknown[] = [];
  const { current } = await import('../env/current.ts');
  channel.read(buf, 0, 0, 512, () => void threads.push(current.thread), null);
  stub.complete(1);
  assert.deepEqual(threads, [cluster.threads[0]]);
  assert.equal(current.thread, null);
  await tearDown();
});

test('a module that throws fails that I/O; a module that completes twice is told', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  stub.throws = new Error('module bug');
  assert.equal(channel.read(buf, 0, 0, 512, cb, 'r'), 0);
  cluster.turns();
  assert.deepEqual(done, ['r -5']);
  assert.match(String(cluster.faults.splice(0)[0]), /module bug/);
  channel.read(buf, 0, 0, 512, cb, 's');
  const [io] = stub.outstanding;
  stub.complete(1);
  assert.throws(() => io.complete(0), /not completed/);
  await tearDown();
});

test('a callback that throws takes nobody with it', async () => {
  const cluster = await startCluster();
  await cluster.until(cluster.bdevs.create('null', { name: 'N', block_size: 512, num_blocks: 8 }));
  const desc = open(cluster, 'N');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(512);
  let done = 0;
  for (let i = 0; i < 4; i++) {
    channel.read(
      buf,
      0,
      0,
      512,
      () => {
        done++;
        if (i === 1) throw new Error('user bug');
      },
      null,
    );
  }
  cluster.turns();
  assert.equal(done, 4);
  assert.match(String(cluster.faults.splice(0)[0]), /user bug/);
  desc.close();
  await cluster.close();
});

test('bdev_io_abort: by context, with the module when it has the I/O and without when it waits', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  const a = { toString: () => 'a' };
  stub.depth = 2;
  channel.read(buf, 0, 0, 512, cb, a);
  channel.read(buf, 0, 0, 512, cb, 'b');
  channel.read(buf, 0, 0, 512, cb, 'waits');
  channel.read(buf, 0, 0, 512, cb, 'waits too');
  assert.equal(channel.abort('unknown'), 0);
  assert.equal(channel.abort('waits'), 1);
  assert.deepEqual(done, [], 'never from inside the call');
  cluster.turns();
  assert.deepEqual(done, ['waits -125']);
  stub.abortable = false;
  assert.equal(channel.abort(a), 0);
  stub.abortable = true;
  assert.equal(channel.abort(a), 1);
  cluster.turns();
  assert.deepEqual(done, ['waits -125', 'a -125']);
  stub.complete(10);
  cluster.turns();
  stub.complete(10);
  assert.deepEqual(done, ['waits -125', 'a -125', 'b 0', 'waits too 0']);
  await tearDown();
});

test('enomem: what the module cannot take waits in order and is tried again as others complete', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  stub.depth = 32;
  for (let i = 0; i < 40; i++) assert.equal(channel.read(buf, 0, 0, 512, cb, i), 0);
  assert.equal(stub.outstanding.length, 32);
  assert.equal(channel.shared.queued, 8);
  // Not after the first completion: after a good part of what was outstanding.
  stub.complete(1);
  cluster.turns();
  assert.equal(channel.shared.queued, 8);
  stub.complete(7);
  cluster.turns();
  assert.equal(channel.shared.queued, 0);
  assert.equal(stub.outstanding.length, 32);
  // Refused again half way: back to the head of the queue.
  for (let i = 40; i < 48; i++) channel.read(buf, 0, 0, 512, cb, i);
  stub.depth = 2;
  stub.complete(32);
  cluster.turns();
  assert.ok(channel.shared.queued > 1);
  while (stub.outstanding.length > 0) {
    stub.complete(1);
    cluster.turns();
  }
  assert.deepEqual(
    done,
    Array.from({ length: 48 }, (_, i) => `${i} 0`),
  );
  await tearDown();
});

test('enomem: with nothing outstanding, time alone has it tried again', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  stub.depth = 0;
  channel.read(buf, 0, 0, 512, cb, 'r');
  cluster.turns();
  cluster.clock.nowUs += 100;
  cluster.turns();
  assert.equal(stub.outstanding.length, 0);
  assert.equal(channel.shared.queued, 1);
  stub.depth = 1;
  assert.notEqual(
    cluster.reactors[0].nextPollUs(cluster.clock.nowUs),
    Number.POSITIVE_INFINITY,
    'the core wakes for it',
  );
  cluster.clock.nowUs += 100;
  cluster.turns();
  assert.equal(stub.outstanding.length, 1);
  stub.complete(1);
  assert.deepEqual(done, ['r 0']);
  await tearDown();
});

test('enomem_multi_bdev: one disk that waits does not hold up another', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  await make(cluster, { name: 'T' });
  const other = open(cluster, 'T');
  const otherChannel = channelOf(cluster, other);
  stub.depth = 0;
  channel.read(buf, 0, 0, 512, cb, 'S');
  otherChannel.read(buf, 0, 0, 512, cb, 'T');
  stubChannel('T').complete(1);
  cluster.turns();
  assert.deepEqual(done, ['T 0']);
  stub.depth = 1;
  cluster.clock.nowUs += 100;
  cluster.turns();
  stub.complete(1);
  other.close();
  await tearDown();
});

test('enomem_retry_during_abort: a reset ends what waits for memory', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  stub.depth = 1;
  channel.read(buf, 0, 0, 512, cb, 'with the module');
  channel.read(buf, 0, 0, 512, cb, 'waits');
  assert.equal(channel.reset(cb, 'reset'), 0);
  cluster.turns();
  cluster.clock.nowUs += 100;
  cluster.turns();
  assert.deepEqual(done.toSorted(), ['reset 0', 'waits -125', 'with the module -125']);
  assert.equal(done.at(-1), 'reset 0', 'the reset completes last');
  await tearDown();
});

test('reset, io_during_reset: what comes while a reset waits is aborted; afterwards the disk goes on', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  stub.abortable = false;
  channel.read(buf, 0, 0, 512, cb, 'slow');
  channel.reset(cb, 'reset');
  cluster.turns();
  assert.deepEqual(done, []);
  assert.equal(channel.read(buf, 0, 0, 512, cb, 'during'), 0);
  cluster.turns();
  assert.deepEqual(done, ['during -125']);
  assert.equal(stub.outstanding.length, 1, 'the module did not see it');
  stub.complete(1);
  cluster.clock.nowUs += 100;
  cluster.turns();
  assert.deepEqual(done, ['during -125', 'slow 0', 'reset 0']);
  channel.read(buf, 0, 0, 512, cb, 'after');
  stub.complete(1);
  assert.equal(done.at(-1), 'after 0');
  await tearDown();
});

test('aborted_reset_no_outstanding_io, reset_completions: resets at once, two of them, and with a closed channel', async () => {
  const { cluster, desc, channel, cb, done, tearDown } = await setUp();
  channel.reset(cb, 1);
  channel.reset(cb, 2);
  cluster.turns();
  cluster.clock.nowUs += 100;
  cluster.turns();
  assert.deepEqual(done, ['1 0', '2 0']);
  const other = channelOf(cluster, desc);
  other.reset(cb, 3);
  other.close();
  channel.close();
  cluster.turns();
  cluster.clock.nowUs += 100;
  cluster.turns();
  assert.deepEqual(done, ['1 0', '2 0', '3 0']);
  assert.equal(stubChannel('S').closed, true);
  await tearDown();
});

test('bdev_set_options: a pool smaller than its cache is refused', async () => {
  const cluster = await startCluster();
  await assert.rejects(cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 10, bdev_io_cache_size: 11 })), {
    code: 'EINVAL',
    message: 'Pool size 10 too small for cache size 11',
  });
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

test('examine: hooks see a disk as it is made, and are waited for', async () => {
  const cluster = await startCluster();
  const seen: string[] = [];
  let release: () => void = () => {};
  cluster.bdevs.examineHooks.push(async (bdev) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    seen.push(bdev.name);
  });
  await make(cluster, { name: 'X' });
  let waited = false;
  const waiting = cluster.bdevs.waitForExamine().then(() => {
    waited = true;
  });
  cluster.turns();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(waited, false);
  release();
  await waiting;
  assert.deepEqual(seen, ['X']);
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
