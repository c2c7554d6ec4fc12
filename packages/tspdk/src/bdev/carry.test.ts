/** I/O that is carried to a disk's home core: that it arrives as it was, comes back once, and can be aborted and reset there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { IoVecs } from '../env/iovecs.ts';
import { makeSegment } from '../env/segment.ts';
import { CARRY_PIECES_MAX } from './carry.ts';
import { startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { IO_FLUSH, IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import { type StubParams, stubChannel, stubs } from './stub-module.sim.ts';
import { takeBdevIos } from './stub-setup.sim.ts';

/** Blocks of the heap that a core keeps for a disk: to carry an I/O, and for a lock. */
const KEPT = 2;

/** A disk on core 0 that another core uses. */
async function away(params: Partial<StubParams> = {}) {
  const cluster = await startCluster({ reactors: 3 });
  await cluster.until(cluster.bdevs.create('stub', { name: 'H', homeCore: 0, ...params }));
  const openOn = (core: number) => cluster.on(core, () => BdevDesc.open('H', { write: true, onEvent: () => {} }));
  const desc = openOn(1);
  const channel = cluster.on(1, () => desc.getIoChannel());
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  const { pool } = cluster.bdevs.get('H').manager;
  const settle = (): void => cluster.settle();
  const close = async (): Promise<void> => {
    cluster.on(1, () => desc.close());
    await cluster.close();
  };
  return { cluster, desc, channel, done, cb, pool, openOn, settle, close };
}

test('carried I/O: memory, place and flags arrive, the status comes back, and the block goes home', async () => {
  const { cluster, channel, done, cb, close } = await away();
  const buf = cluster.memory(8192);
  const iovs = new IoVecs(3);
  iovs.push(buf, 17, 100);
  iovs.push(buf, 4000, 412);
  assert.equal(channel.writev(iovs, 1024, cb, 'w', 1), 0);
  assert.equal(cluster.reactors[1].heap.blocks, KEPT + 1);
  cluster.turns();
  const stub = stubChannel('H', 0);
  assert.equal(stub.outstanding.length, 1);
  const [io] = stub.outstanding;
  assert.deepEqual([io.type, io.byteOffset, io.bytes, io.flags, io.iovs.count], [2, 1024, 512, 1, 2]);
  assert.deepEqual([io.iovs.offset[0], io.iovs.bytes[0], io.iovs.offset[1], io.iovs.bytes[1]], [17, 100, 4000, 412]);
  assert.equal(io.iovs.segment[0]?.sab, buf.sab);
  stub.complete(1, -28);
  cluster.turns();
  assert.deepEqual(done, ['w -28']);
  assert.equal(cluster.reactors[1].heap.blocks, KEPT);
  // Memory that the home core does not know.
  channel.read(makeSegment(4711, new SharedArrayBuffer(512)), 0, 0, 512, cb, 'foreign');
  cluster.turns();
  assert.deepEqual(done, ['w -28', 'foreign -22']);
  await close();
});

test('carried I/O: no heap, no BdevIo at home, and a module without memory make it wait, not fail', async () => {
  const { cluster, channel, done, cb, pool, close } = await away();
  const buf = cluster.memory(512);
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 8, bdev_io_cache_size: 8 }));
  const { heap } = cluster.reactors[1];
  const alloc = heap.alloc.bind(heap);
  heap.alloc = () => {
    throw new SpdkError('ENOMEM', 'test');
  };
  for (let i = 0; i < 3; i++) channel.read(buf, 0, 0, 512, cb, i);
  assert.equal(channel.shared.queued, 2, 'but for one, which has the block that is kept');
  heap.alloc = alloc;
  cluster.turns();
  const stub = stubChannel('H', 0);
  stub.complete(1);
  for (let i = 3; i < 8; i++) assert.equal(channel.read(buf, 0, 0, 512, cb, i), 0);
  // Home's pool is empty: what arrives waits there.
  const giveBack = takeBdevIos(pool);
  cluster.clock.nowUs += 100;
  cluster.turns();
  assert.equal(pool.waiting, 7);
  giveBack();
  assert.equal(stub.outstanding.length, 7);
  stub.complete(3);
  stub.complete(4, -12);
  cluster.turns();
  cluster.clock.nowUs += 100;
  cluster.turns();
  stub.complete(4);
  cluster.turns();
  assert.deepEqual(
    done.toSorted(),
    Array.from({ length: 8 }, (_, i) => `${i} 0`),
  );
  await close();
});

test('carried I/O: for lack of a BdevIo in a disk below it waits at home, but only that once', async () => {
  const { cluster, channel, done, cb, pool, close } = await away();
  channel.read(cluster.memory(512), 0, 0, 512, cb, 'r');
  cluster.turns();
  const stub = stubChannel('H', 0);
  const [io] = stub.outstanding.splice(0);
  io.refusedRank = 0;
  io.complete(-12);
  assert.deepEqual([pool.waiting, channel.shared.queued], [1, 0]);
  cluster.round();
  cluster.round();
  assert.deepEqual([pool.waiting, stub.outstanding.length], [0, 1]);
  stub.complete(1, -12);
  cluster.round();
  cluster.round();
  assert.deepEqual([pool.waiting, channel.shared.queued], [0, 1], 'then its module had no memory');
  cluster.settle();
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['r 0']);
  await close();
});

test('an abort travels to the home core, and ends that I/O there and no other', async () => {
  const { cluster, channel, done, cb, close } = await away();
  const buf = cluster.memory(512);
  for (const ctx of ['a', 'b', 'c']) channel.read(buf, 0, 0, 512, cb, ctx);
  cluster.turns();
  const stub = stubChannel('H', 0);
  assert.equal(channel.abort('b'), 1);
  assert.deepEqual(done, [], 'not before home has said so');
  cluster.turns();
  assert.deepEqual(done, ['b -125']);
  assert.equal(stub.outstanding.length, 2);
  // Once more and of another name: nothing is there.
  assert.equal(channel.abort('b'), 0);
  stub.abortable = false;
  assert.equal(channel.abort('a'), 1, 'asked for');
  cluster.turns();
  assert.deepEqual(done, ['b -125'], 'the module could not');
  assert.equal(channel.abort('a'), 1);
  stub.abortable = true;
  cluster.turns();
  assert.deepEqual(done.splice(1), ['a -125'], 'asked again, it can');
  channel.read(buf, 0, 0, 512, cb, 'a');
  // Asked before it is even there.
  channel.read(buf, 0, 0, 512, cb, 'd');
  channel.abort('d');
  cluster.turns();
  assert.deepEqual(done, ['b -125', 'd -125']);
  stub.complete(2);
  cluster.turns();
  assert.deepEqual(done.slice(2), ['c 0', 'a 0']);
  assert.equal(cluster.reactors[1].heap.blocks, KEPT);
  await close();
});

test('one abort of an I/O is under way at a time, however often it is asked for', async () => {
  const { cluster, channel, done, cb, close } = await away();
  channel.read(cluster.memory(512), 0, 0, 512, cb, 'a');
  cluster.turns();
  const stub = stubChannel('H', 0);
  let asked = 0;
  stub.abort = () => {
    asked++;
    return true;
  };
  for (let round = 1; round <= 3; round++) {
    for (let i = 0; i < 100; i++) assert.equal(channel.abort('a'), 1);
    cluster.turns();
    assert.equal(asked, round);
  }
  stub.complete(1, -125);
  cluster.turns();
  assert.deepEqual(done, ['a -125']);
  await close();
});

test('an abort that crosses the answer comes too late, and does not touch the next I/O of that name', async () => {
  const { cluster, channel, done, cb, close } = await away();
  const buf = cluster.memory(512);
  const first = (ctx: unknown, status: number): void => {
    cb(ctx, status);
    channel.read(buf, 0, 0, 512, cb, 'next');
  };
  channel.read(buf, 0, 0, 512, first, 'first');
  cluster.turns();
  const stub = stubChannel('H', 0);
  // The answer is in core 1's mailbox; it asks for the abort before it looks.
  stub.complete(1);
  assert.equal(channel.abort('first'), 1);
  cluster.turns();
  assert.deepEqual(done, ['first 0']);
  assert.equal(stub.outstanding.length, 1);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['first 0', 'next 0']);
  await close();
});

test('what home has no memory for is not tried again once it was aborted', async () => {
  const { cluster, channel, done, cb, close, settle } = await away();
  const buf = cluster.memory(512);
  for (const ctx of ['aborted', 'not']) channel.read(buf, 0, 0, 512, cb, ctx);
  cluster.turns();
  const stub = stubChannel('H', 0);
  stub.complete(2, -12);
  channel.abort('aborted');
  settle();
  assert.deepEqual(done, ['aborted -125']);
  assert.equal(stub.outstanding.length, 1);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['aborted -125', 'not 0']);
  await close();
});

test('a home core that has left: what is submitted and reset fails, an abort is not under way, and the block is given back', async () => {
  const { cluster, channel, done, cb, close } = await away();
  const buf = cluster.memory(512);
  channel.read(buf, 0, 0, 512, cb, 'there');
  cluster.turns();
  const [reactor] = cluster.reactors.slice(1);
  const { send } = reactor;
  reactor.send = (core, ...event) => {
    if (core === 0) throw new SpdkError('ESHUTDOWN', 'test');
    send.call(reactor, core, ...event);
  };
  channel.read(buf, 0, 0, 512, cb, 'late');
  assert.equal(channel.abort('there'), 0);
  channel.shared.backend.reset?.(cb, 'reset');
  cluster.turns();
  assert.deepEqual(done, ['reset -19', 'late -19']);
  assert.equal(reactor.heap.blocks, KEPT + 1, 'of the one that is there');
  reactor.send = send;
  assert.equal(channel.abort('there'), 1);
  cluster.turns();
  assert.deepEqual(done.splice(2), ['there -125']);
  await close();
});

test('what waits for a BdevIo at home is taken out of the queue', async () => {
  const { cluster, channel, done, cb, close, pool } = await away();
  const buf = cluster.memory(512);
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 8, bdev_io_cache_size: 8 }));
  const fill = takeBdevIos(pool);
  for (const ctx of ['a', 'b']) channel.read(buf, 0, 0, 512, cb, ctx);
  cluster.turns();
  assert.equal(pool.waiting, 2);
  channel.abort('a');
  cluster.turns();
  assert.equal(pool.waiting, 1);
  assert.deepEqual(done, ['a -125']);
  fill();
  stubChannel('H', 0).complete(1);
  cluster.turns();
  assert.deepEqual(done, ['a -125', 'b 0']);
  await close();
});

test('one that waits alone for a BdevIo at home gets that of the next I/O that ends', async () => {
  const { cluster, channel, done, cb, close, openOn, pool } = await away();
  const buf = cluster.memory(512);
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 8, bdev_io_cache_size: 8 }));
  const desc = openOn(2);
  const other = cluster.on(2, () => desc.getIoChannel());
  const giveBack = takeBdevIos(pool, 8);
  for (let i = 0; i < 8; i++) channel.read(buf, 0, 0, 512, cb, i);
  cluster.turns();
  other.read(buf, 0, 0, 512, cb, 'other');
  cluster.turns();
  const stub = stubChannel('H', 0);
  assert.deepEqual([stub.outstanding.length, pool.waiting], [8, 1]);
  stub.complete(1);
  assert.deepEqual([stub.outstanding.length, pool.waiting], [8, 0]);
  stub.complete(8);
  cluster.turns();
  assert.equal(done.at(-1), 'other 0');
  giveBack();
  cluster.on(2, () => desc.close());
  await close();
});

test('a reset, from whatever core, aborts what every core has had carried, and only then completes', async () => {
  const { cluster, channel, done, cb, close, openOn, settle } = await away();
  const buf = cluster.memory(512);
  const others = [0, 2].map((core) => {
    const desc = openOn(core);
    return { core, desc, channel: cluster.on(core, () => desc.getIoChannel()) };
  });
  for (const asking of [channel, ...others.map((other) => other.channel)]) {
    done.length = 0;
    others[0].channel.read(buf, 0, 0, 512, cb, 'home');
    others[1].channel.read(buf, 0, 0, 512, cb, 'other');
    for (let i = 0; i < 2; i++) channel.read(buf, 0, 0, 512, cb, `away${i}`);
    cluster.turns();
    assert.equal(asking.reset(cb, 'reset'), 0);
    settle();
    assert.deepEqual(done.toSorted(), ['away0 -125', 'away1 -125', 'home -125', 'other -125', 'reset 0']);
    assert.equal(done.at(-1), 'reset 0');
  }
  assert.equal(cluster.reactors[1].heap.blocks, KEPT);
  for (const { core, desc } of others) cluster.on(core, () => desc.close());
  await close();
});

test('a reset ends what waits for a BdevIo at home', async () => {
  const { cluster, channel, done, cb, close, settle, pool } = await away();
  const buf = cluster.memory(512);
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 8, bdev_io_cache_size: 8 }));
  const fill = takeBdevIos(pool);
  channel.read(buf, 0, 0, 512, cb, 'a');
  cluster.turns();
  channel.reset(cb, 'reset');
  settle();
  assert.deepEqual(done, ['a -125', 'reset 0']);
  fill();
  await close();
});

test('a reset ends what home has no memory for meanwhile', async () => {
  const { cluster, channel, done, cb, close, settle } = await away();
  const buf = cluster.memory(512);
  channel.read(buf, 0, 0, 512, cb, 'r');
  cluster.turns();
  const stub = stubChannel('H', 0);
  stub.abortable = false;
  channel.reset(cb, 'reset');
  settle();
  assert.deepEqual(done, []);
  stub.complete(1, -12);
  settle();
  assert.deepEqual(done, ['r -125', 'reset 0']);
  assert.equal(stub.outstanding.length, 0);
  await close();
});

test('a module that throws at home fails that I/O, and what throws in an abort takes nobody with it', async () => {
  const { cluster, channel, done, cb, close, settle } = await away();
  const buf = cluster.memory(512);
  channel.read(buf, 0, 0, 512, cb, 'a');
  cluster.turns();
  const stub = stubChannel('H', 0);
  stub.throws = new Error('submit bug');
  channel.read(buf, 0, 0, 512, cb, 'b');
  settle();
  assert.deepEqual(done, ['b -5']);
  assert.match(String(cluster.faults.splice(0)), /submit bug/);
  stub.abort = () => {
    throw new Error('abort bug');
  };
  channel.reset(cb, 'reset');
  settle();
  assert.match(String(cluster.faults.splice(0)), /abort bug/);
  stub.complete(1);
  settle();
  assert.deepEqual(done, ['b -5', 'a 0', 'reset 0']);
  await close();
});

test('a channel that the module cannot make at home fails what was to be carried there, and no more; the next has one', async () => {
  const { cluster, channel, done, cb, close, settle } = await away();
  const buf = cluster.memory(512);
  stubs.failChannel('H', new SpdkError('ENODEV', 'what it stands on is going'));
  channel.read(buf, 0, 0, 512, cb, 'read');
  settle();
  stubs.failChannel('H', new SpdkError('ENODEV', 'what it stands on is going'));
  channel.reset(cb, 'reset');
  settle();
  assert.deepEqual(done.splice(0), ['read -19', 'reset -19']);
  assert.deepEqual(cluster.faults, []);
  stubs.failChannel('H', new Error('createChannel bug'));
  channel.read(buf, 0, 0, 512, cb, 'read');
  settle();
  assert.deepEqual(done.splice(0), ['read -5']);
  assert.match(String(cluster.faults.splice(0)), /createChannel bug/);
  // It is tried again.
  stubs.failChannel('H', new SpdkError('ENOMEM', 'not now'));
  channel.read(buf, 0, 0, 512, cb, 'read');
  settle();
  stubChannel('H', 0).complete(1);
  settle();
  assert.deepEqual(done, ['read 0']);
  await close();
});

test('a reset reaches what the disk stands on: the home core’s channel is asked, once, when all is drained', async () => {
  const { cluster, channel, done, cb, close, settle } = await away();
  const buf = cluster.memory(512);
  channel.read(buf, 0, 0, 512, cb, 'r');
  cluster.turns();
  const stub = stubChannel('H', 0);
  const asked: ((status: number) => void)[] = [];
  stub.reset = (resetDone, ctx) => void asked.push((status) => resetDone(ctx, status));
  channel.reset(cb, 'reset');
  settle();
  assert.deepEqual(done, ['r -125']);
  assert.equal(asked.length, 1);
  asked[0](-5);
  settle();
  assert.deepEqual(done, ['r -125', 'reset -5']);
  await close();
});

test('more pieces of memory than are carried go in several I/Os', async () => {
  const { cluster, channel, done, cb, close } = await away();
  const pieces = CARRY_PIECES_MAX + 44;
  const buf = cluster.memory(pieces * 512);
  const iovs = new IoVecs(pieces);
  for (let i = 0; i < pieces; i++) iovs.push(buf, i * 512, 512);
  const most = new IoVecs(CARRY_PIECES_MAX);
  for (let i = 0; i < CARRY_PIECES_MAX; i++) most.push(buf, i * 512, 512);
  channel.writev(most, 0, cb, 'most');
  cluster.turns();
  const stub = stubChannel('H', 0);
  assert.deepEqual(
    stub.outstanding.map(({ iovs: { count } }) => count),
    [CARRY_PIECES_MAX],
    'as it is',
  );
  stub.complete(1);
  assert.equal(channel.writev(iovs, 0, cb, 'more'), 0);
  const seen: number[] = [];
  for (cluster.turns(); stub.outstanding.length > 0; cluster.turns()) {
    for (const io of stub.outstanding) {
      for (let i = 0; i < io.iovs.count; i++) seen.push(io.iovs.offset[i] / 512);
      assert.equal(io.bytes, io.iovs.totalBytes);
    }
    stub.complete(stub.outstanding.length);
  }
  assert.deepEqual(
    seen,
    Array.from({ length: pieces }, (_, i) => i),
  );
  assert.deepEqual(done, ['most 0', 'more 0']);
  await close();
});

test('one write unit in more pieces than are carried goes through a buffer, as one piece', async () => {
  const { cluster, channel, done, cb, close } = await away({
    limits: { writeUnitBlocks: 64, splitOnWriteUnit: true },
    ioTypes: ioTypes(IO_READ, IO_WRITE, IO_FLUSH),
  });
  const buf = cluster.memory(65536);
  const vecs = (pieces: number): IoVecs => {
    const iovs = new IoVecs(pieces);
    for (let i = 0; i < pieces; i++) iovs.push(buf, (i * 65536) / pieces, 65536 / pieces);
    return iovs;
  };
  // Two units of 64 blocks, in 256 pieces each, and in 257 and more.
  assert.equal(channel.writev(vecs(512), 0, cb, 'fits'), 0);
  cluster.turns();
  const stub = stubChannel('H', 0);
  assert.deepEqual(
    stub.outstanding.map(({ bytes, iovs: { count } }) => [bytes, count]),
    [
      [32768, 256],
      [32768, 256],
    ],
  );
  stub.complete(2);
  assert.equal(channel.writev(vecs(1024), 0, cb, 'scattered'), 0);
  cluster.turns();
  assert.deepEqual(
    stub.outstanding.map(({ bytes, iovs: { count } }) => [bytes, count]),
    [
      [32768, 1],
      [32768, 1],
    ],
  );
  stub.complete(2);
  cluster.turns();
  assert.deepEqual(done, ['fits 0', 'scattered 0']);
  await close();
});
