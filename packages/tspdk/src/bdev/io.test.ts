/** The life of an I/O on one reactor: waiting for a place, completion, abort, lack of memory, reset. Checklist as in bdev.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { current } from '../env/current.ts';
import '../module/bdev/malloc/malloc-bdev.ts';
import '../module/bdev/null/null-bdev.ts';
import { type BdevIo, BdevIoPool } from './bdev-io.ts';
import { startCluster } from './cluster.sim.ts';
import { faultRegistry } from './faults/registry.ts';
import { RANK_OUTSIDE } from './io-rank.ts';
import { IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import { stubChannel } from './stub-module.sim.ts';
import { channelOf, make, open, setUp } from './stub-setup.sim.ts';

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

test('bdev_io_wait: who waits although there is one is called in the next turn, with nothing under way; nobody waits for ever behind', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 4, bdev_io_cache_size: 2 }));
  const order: string[] = [];
  const read = (name: string) => channel.read(buf, 0, 0, 512, cb, name);
  for (const name of ['a', 'b']) {
    const onReady = () => {
      order.push(name);
      if (name === 'b') assert.equal(read(name), 0);
    };
    channel.queueIoWait({ onReady });
  }
  assert.deepEqual(order, [], 'never from inside the call');
  assert.equal(read('x'), -12, 'and nobody overtakes');
  for (let i = 0; i < 10; i++) cluster.round();
  assert.deepEqual(order, ['a', 'b']);
  assert.equal(read('y'), 0);
  stub.complete(2);
  cluster.turns();
  assert.deepEqual(done, ['b 0', 'y 0']);
  await tearDown();
});

test('the last BdevIos are for lower ranks, each of which has a queue of its own; what comes back goes to the lowest that may have it', () => {
  const pool = new BdevIoPool({ ios: 2, growBy: 1 });
  pool.cover(3);
  const all: (BdevIo | null)[] = Array.from({ length: 2 }, () => pool.get(RANK_OUTSIDE));
  assert.equal(pool.get(RANK_OUTSIDE), null, 'two is what the outside gets');
  for (const rank of [2, 1, 0]) {
    all.push(pool.get(rank));
    assert.equal(pool.get(rank), null, `rank ${rank} leaves as many`);
  }
  assert.ok(!all.includes(null));
  assert.equal(pool.used, 5);
  const log: string[] = [];
  const entry = (name: string, rank: number) => ({
    onReady() {
      log.push(name);
      all.push(pool.get(rank));
    },
  });
  const entries = {
    out: entry('out', RANK_OUTSIDE),
    two: entry('two', 2),
    zero: entry('zero', 0),
    last: entry('last', 0),
  };
  pool.wait(entries.out, null, RANK_OUTSIDE);
  pool.wait(entries.two, null, 2);
  assert.throws(() => pool.wait(entries.two, null, 0), { code: 'EINVAL' });
  const putOne = (): void => {
    pool.put(all.pop() as BdevIo);
    pool.wake();
  };
  putOne();
  assert.deepEqual([log, pool.waiting], [[], 2], 'neither may have it');
  all.push(pool.get(0));
  assert.notEqual(all.at(-1), null, 'they are not in the way of a lower rank');
  pool.wait(entries.zero, null, 0);
  pool.wait(entries.last, null, 0);
  putOne();
  assert.deepEqual(log.splice(0), ['zero']);
  assert.equal(pool.get(0), null, 'and not before the one that waits');
  assert.ok(pool.cancelWait(entries.last));
  assert.ok(!pool.cancelWait(entries.last));
  for (let i = 0; i < 3; i++) putOne();
  assert.deepEqual(log.splice(0), ['two']);
  for (let i = 0; i < 2; i++) putOne();
  assert.deepEqual([log, pool.waiting, pool.used], [['out'], 0, 2]);
});

test('a pool that is made smaller, or gets ranks, keeps what those need that have some of it', () => {
  const pool = new BdevIoPool({ ios: 100, growBy: 1 });
  pool.cover(2);
  for (let i = 0; i < 10; i++) pool.get(RANK_OUTSIDE);
  pool.setOptions({ ios: 1, growBy: 1 });
  assert.equal(pool.get(RANK_OUTSIDE), null);
  assert.notEqual(pool.get(1), null);
  const called: number[] = [];
  pool.wait({ onReady: () => void called.push(pool.available(1)) }, null, 1);
  pool.cover(2);
  assert.deepEqual(called, []);
  pool.cover(4);
  assert.deepEqual(called, [2]);
  assert.equal(pool.submitUs.length, 14);
});

test('bdev_io_wait: while somebody waits, nobody else gets one that is free', () => {
  const pool = new BdevIoPool({ ios: 2, growBy: 1 });
  const io = pool.get(RANK_OUTSIDE);
  const taken: unknown[] = [];
  const entry = { onReady: () => void taken.push(pool.get(RANK_OUTSIDE)) };
  pool.wait(entry, null, RANK_OUTSIDE);
  assert.equal(pool.get(RANK_OUTSIDE), null);
  assert.equal(pool.used, 1);
  pool.wake();
  assert.equal(taken.length, 1);
  assert.notEqual(taken[0], null);
  assert.equal(pool.get(RANK_OUTSIDE), null, 'two is the limit');
  pool.wait(entry, null, RANK_OUTSIDE);
  pool.setOptions({ ios: 3, growBy: 1 });
  assert.equal(taken.length, 2, 'a larger pool serves who waits');
  assert.equal(pool.waiting, 0);
  if (io !== null) pool.put(io);
  assert.equal(pool.used, 2);
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

test('bdev_io_abort: all I/Os of one context, wherever they are, and no other', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp({ limits: { maxRwBlocks: 4 } });
  stub.depth = 4;
  const ctx = { toString: () => 'mine' };
  assert.equal(channel.read(buf, 0, 0, 512, cb, ctx), 0);
  assert.equal(channel.read(buf, 0, 0, 512, cb, 'other'), 0);
  assert.equal(channel.read(buf, 0, 512, 12 * 512, cb, ctx), 0, 'in three pieces, of which one waits');
  assert.equal(channel.read(buf, 0, 0, 512, cb, ctx), 0, 'waits');
  assert.equal(channel.read(buf, 0, 0, 512, cb, 'other waits'), 0);
  assert.deepEqual([stub.outstanding.length, channel.shared.queued], [4, 3]);
  assert.equal(channel.abort(ctx), 3);
  for (let i = 0; i < 100; i++) cluster.round();
  assert.deepEqual(done.splice(0), ['mine -125', 'mine -125', 'mine -125']);
  stub.complete(2);
  cluster.turns();
  assert.deepEqual(done, ['other 0', 'other waits 0']);
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

test('enomem: for lack of a BdevIo in a disk below it waits in the pool, but only that once', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  const { pool } = channel.shared.manager;
  channel.read(buf, 0, 0, 512, cb, 'r');
  const [io] = stub.outstanding.splice(0);
  stub.depth = 0;
  io.refusedRank = 0;
  io.complete(-12);
  assert.deepEqual([pool.waiting, channel.shared.queued], [1, 1]);
  cluster.round();
  cluster.round();
  assert.deepEqual([pool.waiting, channel.shared.queued], [0, 1], 'then its module had no memory');
  stub.depth = 1;
  cluster.settle();
  stub.complete(1);
  assert.deepEqual(done, ['r 0']);
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
  assert.notEqual(cluster.reactors[0].nextPollUs(), Number.POSITIVE_INFINITY, 'the core wakes for it');
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

test('io_during_reset: what comes while a reset is under way ends with it, and no fault strikes it', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp();
  const faults = faultRegistry(cluster.reactors[0]);
  stub.abortable = false;
  assert.equal(channel.read(buf, 0, 0, 512, cb, 'held'), 0);
  await cluster.until(faults.add('S', 'op=write,action=stuck'));
  assert.equal(channel.reset(cb, 'reset'), 0);
  for (let i = 0; i < 20; i++) cluster.round();
  assert.equal(channel.write(buf, 0, 0, 512, cb, 'during'), 0);
  for (let i = 0; i < 20; i++) cluster.round();
  assert.deepEqual(done.splice(0), ['during -125']);
  assert.equal(await cluster.until(faults.stuck('S')), 0);
  stub.complete(1);
  for (let i = 0; i < 100; i++) cluster.round();
  assert.deepEqual(done, ['held 0', 'reset 0']);
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

test('a module that completes an I/O twice is told so, and the submitter hears of it once', async () => {
  const { cluster, channel, buf, cb, stub, done, tearDown } = await setUp();
  stub.submit = (io) => {
    io.complete(0);
    io.complete(-5);
  };
  channel.read(buf, 0, 0, 512, cb, 'r');
  cluster.turns();
  assert.deepEqual(done, ['r 0']);
  assert.match(String(cluster.faults.splice(0)), /module "stub" completes an I\/O of "S" once/);
  await tearDown();
});

test('a callback runs on its channel’s thread, whoever completes the I/O, and leaves that one as it was', async () => {
  const { cluster, channel, buf, stub, tearDown } = await setUp();
  const [thread] = cluster.threads;
  const seen: unknown[] = [];
  const cb = (): void => void seen.push(current.thread);
  for (let i = 0; i < 2; i++) channel.read(buf, 0, 0, 512, cb, i);
  stub.complete(1);
  assert.equal(current.thread, null);
  cluster.on(0, () => {
    stub.complete(1);
    assert.equal(current.thread, thread);
  });
  assert.deepEqual(
    seen.map((each) => each === thread),
    [true, true],
  );
  await tearDown();
});
