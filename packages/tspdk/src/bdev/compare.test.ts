/**
 * Compare, compare-and-write, copy, locks of ranges and quiescing. Checklist: SPDK's bdev_ut, bdev_compare_emulated, bdev_compare_and_write, bdev_copy, lba_range_overlap,
 * lock_lba_range_check_ranges, lock_lba_range_with_io_outstanding, lock_lba_range_overlapped, lock_lba_range_with_split_io, bdev_quiesce, and of mt lock_lba_range_then_submit_io;
 * titles carry their names. What a disk takes itself is
 * on stub disks; bdev_copy_split_test is in split.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SpdkError } from '../env/errors.ts';
import { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import { malloc } from '../module/bdev/malloc/malloc-setup.sim.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { IO_COMPARE, IO_COMPARE_AND_WRITE, IO_COPY, IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import { lockRange } from './lba-lock.ts';
import { lockable, runIo, setUp, takeLargeBuffers } from './stub-setup.sim.ts';

const BLOCK = 512;

function vec(segment: Segment, offset: number, bytes: number): IoVecs {
  const iovs = new IoVecs(4);
  // In two pieces that no block ends at.
  iovs.push(segment, offset, 100);
  iovs.push(segment, offset + 100, bytes - 100);
  return iovs;
}

/** A memory disk on several reactors, with a channel on each. */
async function disk(reactors: number, blocks = 1024, limits = {}) {
  const cluster = await startCluster({ reactors });
  await malloc(cluster, 'M', blocks, limits);
  const descs = Array.from({ length: reactors }, (_, core) =>
    cluster.on(core, () => BdevDesc.open('M', { write: true, onEvent: () => {} })),
  );
  const channels = descs.map((desc, core) => cluster.on(core, () => desc.getIoChannel()));
  const close = async (): Promise<void> => {
    for (const desc of descs) desc.close();
    await cluster.close();
  };
  return { cluster, channels, close };
}

test('bdev_compare_emulated: equal is 0, one different byte anywhere is -EILSEQ, also beyond one buffer', async () => {
  const { cluster, channels, close } = await disk(1);
  const [channel] = channels;
  const bytes = 400 * BLOCK;
  const buf = cluster.memory(2 * bytes);
  for (let i = 0; i < bytes; i++) buf.u8[i] = (i * 7) ^ (i >> 9);
  buf.u8.copyWithin(bytes, 0, bytes);
  assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, BLOCK, bytes, cb, 0)), 0);
  const compare = () => runIo(cluster, (cb) => channel.comparev(vec(buf, bytes, bytes), BLOCK, cb, 0));
  assert.equal(await compare(), 0);
  for (const at of [0, 99, 100, 511, 132 * 1024, bytes - 1]) {
    buf.u8[bytes + at] ^= 1;
    assert.equal(await compare(), -84, `byte ${at}`);
    buf.u8[bytes + at] ^= 1;
  }
  assert.equal(await compare(), 0);
  await close();
});

test('bdev_compare_and_write: writes when what it compares with is there, and only then', async () => {
  const { cluster, channels, close } = await disk(2);
  const [channel, other] = channels;
  const buf = cluster.memory(8 * BLOCK);
  const zeroes = vec(buf, 0, 2 * BLOCK);
  const ones = vec(buf, 2 * BLOCK, 2 * BLOCK);
  const back = vec(buf, 4 * BLOCK, 2 * BLOCK);
  buf.u8.fill(1, 2 * BLOCK, 4 * BLOCK);
  const caw = (cmp: IoVecs, write: IoVecs) =>
    runIo(cluster, (cb) => channel.comparevAndWritev(cmp, write, 10 * BLOCK, cb, 0));
  assert.equal(
    channel.comparevAndWritev(zeroes, vec(buf, 0, BLOCK), 0, () => {}, 0),
    -22,
    'of one length',
  );
  assert.equal(await caw(zeroes, ones), 0);
  assert.equal(await caw(zeroes, ones), -84);
  assert.equal(await runIo(cluster, (cb) => other.readv(back, 10 * BLOCK, cb, 0)), 0);
  assert.deepEqual(buf.u8.subarray(4 * BLOCK, 6 * BLOCK), buf.u8.subarray(2 * BLOCK, 4 * BLOCK));
  assert.equal(await caw(ones, zeroes), 0);
  assert.equal(await runIo(cluster, (cb) => other.comparev(zeroes, 10 * BLOCK, cb, 0)), 0);
  await close();
});

/** Numbers on the disk that many raise at once: each by reading it, and by compare-and-write of the next, until that works. */
async function raise(channel: BdevChannel, cluster: Cluster, buf: Segment, at: number, lba: number): Promise<void> {
  const view = new DataView(buf.sab, at, 2 * BLOCK);
  for (;;) {
    assert.equal(await runIo(cluster, (cb) => channel.read(buf, at, lba * BLOCK, BLOCK, cb, 0)), 0);
    buf.u8.copyWithin(at + BLOCK, at, at + BLOCK);
    view.setUint32(BLOCK, view.getUint32(0) + 1);
    const status = await runIo(cluster, (cb) =>
      channel.comparevAndWritev(vec(buf, at, BLOCK), vec(buf, at + BLOCK, BLOCK), lba * BLOCK, cb, 0),
    );
    if (status === 0) return;
    assert.equal(status, -84);
  }
}

test('compare-and-write is one step: of many that raise the same numbers from several cores none is lost', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(2), { minLength: 4, maxLength: 16 }), async (lbas) => {
      const { cluster, channels, close } = await disk(3);
      const buf = cluster.memory(lbas.length * 2 * BLOCK);
      await Promise.all(lbas.map((lba, i) => raise(channels[i % channels.length], cluster, buf, i * 2 * BLOCK, lba)));
      for (const lba of new Set(lbas)) {
        assert.equal(await runIo(cluster, (cb) => channels[0].read(buf, 0, lba * BLOCK, BLOCK, cb, 0)), 0);
        assert.equal(new DataView(buf.sab).getUint32(0), lbas.filter((each) => each === lba).length);
      }
      await close();
    }),
    { numRuns: 20 },
  );
});

test('bdev_copy: data goes from one range to another; ranges that overlap are refused', async () => {
  const { cluster, channels, close } = await disk(1);
  const [channel] = channels;
  const bytes = 300 * BLOCK;
  const buf = cluster.memory(bytes);
  for (let i = 0; i < bytes; i++) buf.u8[i] = (i * 11) ^ (i >> 8);
  assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 0, bytes, cb, 0)), 0);
  assert.equal(await runIo(cluster, (cb) => channel.copy(500 * BLOCK, 0, bytes, cb, 0)), 0);
  const iovs = new IoVecs(1);
  iovs.push(buf, 0, bytes);
  assert.equal(await runIo(cluster, (cb) => channel.comparev(iovs, 500 * BLOCK, cb, 0)), 0);
  assert.equal(
    channel.copy(BLOCK, 0, 2 * BLOCK, () => {}, 0),
    -22,
  );
  assert.equal(
    channel.copy(1023 * BLOCK, 0, 2 * BLOCK, () => {}, 0),
    -22,
  );
  assert.equal(
    channel.copy(0, 1023 * BLOCK, 2 * BLOCK, () => {}, 0),
    -22,
  );
  await close();
});

test('compare and copy wait for buffers and for I/Os of the pool; a read that fails is the status', async () => {
  const { cluster, channel, stub, done, cb, tearDown } = await setUp();
  const { iobuf } = cluster.reactors[0];
  const taken = takeLargeBuffers(iobuf);
  const memory = cluster.memory(4 * BLOCK);
  assert.equal(channel.comparev(vec(memory, 0, BLOCK), 0, cb, 'compare'), 0);
  assert.equal(channel.copy(0, BLOCK, BLOCK, cb, 'copy'), 0);
  assert.equal(stub.outstanding.length, 0);
  for (const buf of taken) iobuf.put(buf);
  await cluster.untilTrue(() => stub.outstanding.length === 2);
  stub.complete(1, -5);
  stub.complete(1);
  await cluster.untilTrue(() => stub.outstanding[0]?.type === IO_WRITE);
  stub.complete(1, -28);
  cluster.turns();
  assert.deepEqual(done, ['compare -5', 'copy -28']);
  await tearDown();
});

test('lock_lba_range_with_io_outstanding: a lock waits for writes under way in its range on every core, not for others', async () => {
  const { cluster, cores, log, buf, cb, lock, close } = await lockable(2);
  const [a, b] = cores;
  assert.equal(a.channel.read(buf, 0, 0, BLOCK, cb, 'read'), 0);
  assert.equal(a.channel.write(buf, 0, 20 * BLOCK, BLOCK, cb, 'outside'), 0);
  assert.equal(b.channel.write(buf, 0, 8 * BLOCK, 2 * BLOCK, cb, 'inside'), 0);
  const held = lock(0, 'L', 0, 10);
  cluster.turns();
  for (let i = 0; i < 50; i++) cluster.round();
  assert.equal(log.length, 0);
  b.stub.complete(1);
  await cluster.untilTrue(() => log.includes('L held'));
  a.stub.complete(2);
  cluster.turns();
  held.release(() => log.push('released'));
  cluster.turns();
  assert.deepEqual(log, ['inside 0', 'L held', 'read 0', 'outside 0', 'released']);
  await close();
});

test('lock_lba_range_then_submit_io: what changes a locked range waits, on every core; the rest goes on', async () => {
  const { cluster, cores, log, buf, cb, lock, close } = await lockable(2);
  const [, b] = cores;
  const held = lock(0, 'L', 4, 4);
  await cluster.untilTrue(() => log.includes('L held'));
  const ops: [string, (name: string) => number][] = [
    ['write', (name) => b.channel.write(buf, 0, 7 * BLOCK, 2 * BLOCK, cb, name)],
    ['unmap', (name) => b.channel.unmap(0, 5 * BLOCK, cb, name)],
    ['zeroes', (name) => b.channel.writeZeroes(4 * BLOCK, BLOCK, 0, cb, name)],
    ['copy to', (name) => b.channel.copy(4 * BLOCK, 100 * BLOCK, BLOCK, cb, name)],
  ];
  for (const [name, start] of ops) assert.equal(start(name), 0);
  assert.equal(b.channel.read(buf, 0, 4 * BLOCK, BLOCK, cb, 'read'), 0);
  assert.equal(b.channel.write(buf, 0, 8 * BLOCK, BLOCK, cb, 'behind'), 0);
  assert.deepEqual(
    b.stub.outstanding.map((io) => [io.type, io.byteOffset / BLOCK]),
    [
      [IO_READ, 4],
      [IO_WRITE, 8],
    ],
  );
  assert.equal(b.channel.abort('unmap'), 1);
  b.stub.complete(2);
  cluster.turns();
  held.release();
  await cluster.untilTrue(() => b.stub.outstanding.length === 3);
  b.stub.complete(3);
  await cluster.untilTrue(() => b.stub.outstanding.length === 1);
  b.stub.complete(1);
  cluster.turns();
  assert.deepEqual(log.slice(1).sort(), ['behind 0', 'copy to 0', 'read 0', 'unmap -125', 'write 0', 'zeroes 0']);
  assert.equal(b.channel.shared.gates, null, 'gates go with the lock');
  await close();
});

test('lock_lba_range_overlapped, lba_range_overlap: overlapping locks follow each other in order, others do not wait', async () => {
  const { cluster, log, lock, close } = await lockable(2);
  const first = lock(0, 'a', 0, 10);
  const second = lock(0, 'b', 9, 2);
  const third = lock(0, 'c', 10, 5);
  const fourth = lock(1, 'd', 100, 1);
  await cluster.untilTrue(() => log.length === 2);
  for (let i = 0; i < 20; i++) cluster.round();
  assert.deepEqual([...log].sort(), ['a held', 'd held'], 'c would overtake b');
  first.release();
  await cluster.untilTrue(() => log.length === 3);
  for (let i = 0; i < 20; i++) cluster.round();
  assert.equal(log[2], 'b held');
  second.release();
  await cluster.untilTrue(() => log.length === 4);
  assert.equal(log[3], 'c held');
  third.release();
  fourth.release();
  cluster.turns();
  await close();
});

test('a compare-and-write that is done and lets its lock go is not aborted any more, nor does a reset say that it was', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp();
  const iovs = new IoVecs(1);
  iovs.push(buf, 0, BLOCK);
  for (const how of ['abort', 'reset'] as const) {
    assert.equal(channel.comparevAndWritev(iovs, iovs, 0, cb, how), 0);
    for (const type of [IO_READ, IO_WRITE]) {
      await cluster.untilTrue(() => stub.outstanding.length === 1);
      assert.equal(stub.outstanding[0].type, type);
      stub.complete(1);
    }
    assert.deepEqual(done, []);
    if (how === 'abort') assert.equal(channel.abort(how), 0);
    else channel.reset(cb, 'the reset');
    cluster.settle();
    assert.equal(done.shift(), `${how} 0`);
  }
  assert.deepEqual(done, ['the reset 0']);
  await tearDown();
});

test('lock_lba_range_with_split_io: a lock waits for all pieces, and they do not wait for it', async () => {
  const { cluster, channel, stub, buf, done, cb, desc, tearDown } = await setUp({ limits: { maxRwBlocks: 1 } });
  assert.equal(channel.write(buf, 0, 0, 40 * BLOCK, cb, 'w'), 0);
  const held = lockRange(desc.bdev, 39 * BLOCK, BLOCK, false, () => done.push('held'));
  cluster.turns();
  stub.complete(32);
  cluster.turns();
  assert.equal(stub.outstanding.length, 8, 'the last pieces were started under the lock');
  assert.deepEqual(done, []);
  stub.complete(8);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done, ['w 0', 'held']);
  held.release();
  cluster.turns();
  await tearDown();
});

test('bdev_zcopy_write: a lock waits for what is being written in place, on every core', async () => {
  const { cluster, channels, close } = await disk(2);
  const { bdev } = channels[0];
  const out = new IoVecs(4);
  const held: string[] = [];
  const lock = (name: string, block: number) =>
    cluster.on(0, () =>
      lockRange(bdev, block * BLOCK, 10 * BLOCK, false, (status) => void held.push(`${name} ${status}`)),
    );
  assert.equal(channels[1].zcopy(8 * BLOCK, 2 * BLOCK, out, true), true);
  assert.equal(channels[1].zcopy(19 * BLOCK, BLOCK, out, false), true, 'reading holds nobody up');
  const [first, second] = [lock('over it', 0), lock('behind it', 10)];
  for (let i = 0; i < 50; i++) cluster.round();
  assert.deepEqual(held, ['behind it 0']);
  channels[1].zcopyWritten(8 * BLOCK, BLOCK);
  await cluster.untilTrue(() => held.length === 2);
  assert.equal(channels[1].zcopy(9 * BLOCK, BLOCK, out, true), false, 'what comes later is submitted, and waits');
  first.release();
  second.release();
  await cluster.untilTrue(() => channels[1].shared.gates === null);
  assert.throws(() => channels[1].zcopyWritten(8 * BLOCK, BLOCK), /no zcopy for writing is under way at 4096/);
  await close();
});

test('bdev_quiesce, bdev_unregister_during_quiesced_range_unlock: reads wait, too; removal ends what waits', async () => {
  const { cluster, cores, log, buf, cb, lock, close } = await lockable(2);
  const [a, b] = cores;
  assert.equal(a.channel.read(buf, 0, 0, BLOCK, cb, 'before'), 0);
  const held = lock(1, 'Q', 0, 1024, true);
  for (let i = 0; i < 50; i++) cluster.round();
  assert.equal(log.length, 0);
  a.stub.complete(1);
  await cluster.untilTrue(() => log.length === 2);
  assert.equal(b.channel.read(buf, 0, 0, BLOCK, cb, 'read'), 0);
  assert.equal(b.channel.flush(0, BLOCK, cb, 'flush'), 0);
  assert.equal(b.stub.outstanding.length, 0);
  const removal = cluster.bdevs.delete('S');
  await cluster.untilTrue(() => log.length === 4);
  assert.deepEqual(log, ['before 0', 'Q held', 'read -19', 'flush -19']);
  held.release();
  for (const { desc } of cores) desc.close();
  await cluster.until(removal);
  await close();
});

test('io_during_reset: what comes for a locked range while a reset is under way ends with it', async () => {
  const { cluster, cores, log, buf, cb, lock, close } = await lockable(1);
  const [{ channel, stub }] = cores;
  const held = lock(0, 'L', 0, 10);
  await cluster.untilTrue(() => log.length === 1);
  stub.abortable = false;
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'held'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'before'), 0);
  assert.equal(channel.reset(cb, 'reset'), 0);
  await cluster.untilTrue(() => log.length === 2);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'during'), 0);
  for (let i = 0; i < 20; i++) cluster.round();
  assert.deepEqual(log.splice(1), ['before -125', 'during -125']);
  stub.complete(1);
  for (let i = 0; i < 100; i++) cluster.round();
  assert.deepEqual(log.splice(1), ['held 0', 'reset 0']);
  held.release();
  await close();
});

test('a disk’s own compare-and-write is held back by locks, and awaited by them, as any write', async () => {
  const { cluster, cores, log, buf, cb, lock, close } = await lockable(
    2,
    ioTypes(IO_READ, IO_WRITE, IO_COMPARE, IO_COMPARE_AND_WRITE),
  );
  const [a, b] = cores;
  const two = vec(buf, 0, 2 * BLOCK);
  const compareAndWrite = (name: string) => b.channel.comparevAndWritev(two, two, 4 * BLOCK, cb, name);
  for (const quiesce of [false, true]) {
    assert.equal(compareAndWrite('first'), 0);
    assert.deepEqual(
      b.stub.outstanding.map(({ type }) => type),
      [IO_COMPARE_AND_WRITE],
    );
    const held = lock(0, 'L', 5, 1, quiesce);
    for (let i = 0; i < 50; i++) cluster.round();
    assert.equal(log.length, 0);
    assert.equal(compareAndWrite('second'), 0);
    assert.equal(a.channel.comparev(two, 4 * BLOCK, cb, 'compare'), 0);
    assert.deepEqual([a.stub.outstanding.length, b.stub.outstanding.length], [quiesce ? 0 : 1, 1]);
    b.stub.complete(1);
    await cluster.untilTrue(() => log.includes('L held'));
    held.release();
    await cluster.untilTrue(() => a.stub.outstanding.length + b.stub.outstanding.length === 2);
    for (const { stub } of cores) stub.complete(1, -84);
    cluster.turns();
    assert.deepEqual(log.splice(0).sort(), ['L held', 'compare -84', 'first 0', 'second -84']);
  }
  await close();
});

test('bdev_quiesce, bdev_copy: a copy from a quiesced range waits, and is awaited', async () => {
  const { cluster, cores, log, cb, lock, close } = await lockable(1, ioTypes(IO_READ, IO_WRITE, IO_COPY));
  const [{ channel, stub }] = cores;
  const copy = (name: string) => channel.copy(100 * BLOCK, 4 * BLOCK, 2 * BLOCK, cb, name);
  assert.equal(copy('first'), 0);
  const held = lock(0, 'Q', 5, 1, true);
  const other = lock(0, 'L', 3, 2, false);
  for (let i = 0; i < 50; i++) cluster.round();
  assert.deepEqual(log.splice(0), ['L held'], 'who does not change the source does not mind');
  assert.equal(copy('second'), 0);
  stub.complete(1);
  await cluster.untilTrue(() => log.length === 2);
  assert.deepEqual(log.splice(0), ['first 0', 'Q held']);
  assert.equal(stub.outstanding.length, 0);
  held.release();
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  stub.complete(1);
  other.release();
  cluster.turns();
  assert.deepEqual(log, ['second 0']);
  await close();
});

test('a lock for which the heap has no room says so, and there is none', async () => {
  const { cluster, desc, done, tearDown } = await setUp();
  const { heap } = cluster.reactors[0];
  const original = heap.alloc.bind(heap);
  heap.alloc = () => {
    throw new SpdkError('ENOMEM', 'full');
  };
  const ask = (name: string) => lockRange(desc.bdev, 0, BLOCK, false, (status) => void done.push(`${name} ${status}`));
  // It has the one that is kept.
  const first = ask('first');
  ask('second');
  assert.deepEqual(done, []);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done.toSorted(), ['first 0', 'second -12']);
  first.release();
  cluster.turns();
  heap.alloc = original;
  await tearDown();
});
