/**
 * Being told of I/Os that take too long. Checklist: SPDK's bdev_ut bdev_set_io_timeout, its mt bdev_ut bdev_set_io_timeout_mt; titles carry their names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import { passthruModule } from '../module/bdev/passthru/passthru-bdev.ts';
import { Thread } from '../thread/index.ts';
import { startCluster, TestClock } from './cluster.sim.ts';
import type { OverdueIo } from './io-timeout.ts';
import { IO_FLAG_MARK_BITS, IO_FLAG_MARK_SHIFT, IO_READ, IO_RESET, IO_WRITE } from './io-type.ts';
import { bdevManager } from './manager.ts';
import { stubChannel } from './stub-module.sim.ts';
import { channelOf, make, open } from './stub-setup.sim.ts';

const SECOND = 1_000_000;

async function timed(limits = {}) {
  const clock = new TestClock();
  const cluster = await startCluster({ clock, roundUs: 0 });
  await make(cluster, { name: 'S', blocks: 1 << 20, limits });
  const desc = open(cluster, 'S');
  const channel = channelOf(cluster, desc);
  const told: string[] = [];
  const note = ({ ctx, type, byteOffset, bytes, elapsedUs }: OverdueIo): void =>
    void told.push(`${ctx} ${type} ${byteOffset}+${bytes} ${elapsedUs / SECOND}`);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  const pass = (seconds: number): void => {
    clock.nowUs += seconds * SECOND;
    cluster.turns();
  };
  const takeTold = () => told.splice(0);
  return { cluster, desc, channel, note, takeTold, done, cb, pass, buf: cluster.memory(65536), stub: stubChannel('S') };
}

test('bdev_set_io_timeout: each I/O that is late is told of, again and again, until it ends; others are not', async () => {
  const { cluster, desc, channel, note, takeTold, done, cb, pass, buf, stub } = await timed();
  const other = open(cluster, 'S');
  const otherChannel = channelOf(cluster, other);
  channel.read(buf, 0, 512, 512, cb, 'before');
  desc.setTimeout(2 * SECOND, note);
  channel.read(buf, 0, 1024, 512, cb, 'late');
  otherChannel.read(buf, 0, 0, 512, cb, 'not mine');
  pass(1.5);
  channel.write(buf, 0, 4096, 1024, cb, 'later');
  assert.deepEqual(takeTold(), []);
  pass(0.5);
  assert.deepEqual(takeTold(), [`late ${IO_READ} 1024+512 2`]);
  pass(1);
  assert.deepEqual(takeTold(), [`late ${IO_READ} 1024+512 3`]);
  pass(0.5);
  assert.deepEqual(takeTold(), [`late ${IO_READ} 1024+512 3.5`, `later ${IO_WRITE} 4096+1024 2`]);
  stub.complete(4);
  cluster.turns();
  assert.equal(done.length, 4);
  pass(5);
  assert.deepEqual(takeTold(), [], 'what has ended is late no more');
  desc.setTimeout(0);
  channel.read(buf, 0, 0, 512, cb, 'unwatched');
  pass(60);
  assert.deepEqual(takeTold(), []);
  assert.equal(cluster.reactors[0].local(bdevManager).timeouts.size, 0, 'the mark is free again');
  stub.complete(1);
  cluster.turns();
  other.close();
  desc.close();
  await cluster.close();
});

test('the one who hears of it may abort it; one that the layer has split is told of once, whole', async () => {
  const { cluster, desc, channel, takeTold, note, done, cb, pass, buf } = await timed({ maxRwBlocks: 2 });
  desc.setTimeout(SECOND, (io) => {
    note(io);
    assert.equal(channel.abort(io.ctx), 1);
  });
  channel.read(buf, 0, 0, 8 * 512, cb, 'split');
  pass(1);
  assert.deepEqual(takeTold(), [`split ${IO_READ} 0+4096 1`]);
  cluster.turns();
  assert.deepEqual(done, ['split -125']);
  desc.close();
  await cluster.close();
});

test('a disk below is not watched because one above is, and a callback that throws does not end the watch', async () => {
  const { cluster, desc, note, takeTold, cb, pass, buf, stub } = await timed();
  desc.close();
  await cluster.until(cluster.bdevs.create(passthruModule.name, { name: 'P', base_bdev_name: 'S' }));
  const upper = open(cluster, 'P');
  const channel = channelOf(cluster, upper);
  let calls = 0;
  upper.setTimeout(SECOND, (io) => {
    note(io);
    if (++calls === 1) throw new Error('on purpose');
  });
  channel.read(buf, 0, 0, 512, cb, 'x');
  pass(1);
  pass(1);
  assert.deepEqual(takeTold(), [`x ${IO_READ} 0+512 1`, `x ${IO_READ} 0+512 2`]);
  assert.match(String(cluster.faults.splice(0)), /on purpose/);
  const below = stubChannel('S');
  below.complete(1);
  cluster.turns();
  assert.equal(stub.outstanding.length, 0);
  upper.close();
  await cluster.close();
});

test('bdev_set_io_timeout_mt: each is told of on the thread that submitted it', async () => {
  const { cluster, desc, takeTold, note, cb, pass, buf, stub } = await timed();
  const thread = Thread.create(cluster.reactors[0], { name: 'second', cpumask: new Cpuset([0]) }) as Thread;
  const seen: unknown[] = [];
  desc.setTimeout(SECOND, (io) => {
    note(io);
    seen.push(current.thread);
  });
  const before = current.thread;
  const there = cluster.on(0, () => {
    current.thread = thread;
    const channel = desc.getIoChannel();
    channel.read(buf, 0, 0, 512, cb, 'there');
    current.thread = before;
    return channel;
  });
  pass(1);
  assert.deepEqual(takeTold(), [`there ${IO_READ} 0+512 1`]);
  assert.deepEqual(seen, [thread]);
  stubChannel('S').complete(1);
  cluster.turns();
  cluster.on(0, () => {
    current.thread = thread;
    there.close();
    thread.exit();
    current.thread = before;
  });
  assert.equal(stub.outstanding.length, 0);
  desc.close();
  await cluster.close();
});

test('bdev_set_io_timeout: a reset is told of, too, when what it waits for does not end', async () => {
  const { cluster, desc, channel, note, takeTold, done, cb, pass, buf, stub } = await timed();
  channel.read(buf, 0, 0, 512, cb, 'before');
  stub.abortable = false;
  desc.setTimeout(2 * SECOND, note);
  assert.equal(channel.reset(cb, 'reset'), 0);
  pass(2);
  assert.deepEqual(takeTold(), [`reset ${IO_RESET} 0+0 2`]);
  stub.complete(1);
  pass(1);
  cluster.turns();
  assert.deepEqual(done, ['before 0', 'reset 0']);
  desc.close();
  await cluster.close();
});

test('bdev_set_io_timeout: another limit counts for what is under way, at once; closed, nobody is told', async () => {
  const { cluster, desc, channel, note, takeTold, cb, pass, buf, stub } = await timed();
  desc.setTimeout(30 * SECOND, note);
  channel.read(buf, 0, 512, 512, cb, 'a');
  pass(19);
  const others: string[] = [];
  desc.setTimeout(20 * SECOND, ({ ctx, elapsedUs }) => void others.push(`${ctx} ${elapsedUs / SECOND}`));
  assert.equal(cluster.reactors[0].local(bdevManager).timeouts.size, 1);
  pass(1);
  assert.deepEqual([takeTold(), others.splice(0)], [[], ['a 20']], 'the one who asked last');
  desc.setTimeout(SECOND / 10, note);
  pass(0.025);
  assert.deepEqual(takeTold(), [`a ${IO_READ} 512+512 20.025`], 'a short limit is looked at soon');
  desc.setTimeout(40 * SECOND, note);
  pass(5);
  assert.deepEqual([takeTold(), others], [[], []]);
  pass(15);
  assert.equal(takeTold().length, 1);
  desc.close();
  pass(60);
  assert.deepEqual(takeTold(), []);
  stub.complete(1);
  pass(60);
  assert.equal(cluster.reactors[0].local(bdevManager).timeouts.size, 0);
  await cluster.close();
});

test('descriptors with time-outs of their own are told of their own I/Os; a mark is used again when the last I/O that carries it has ended', async () => {
  const { cluster, desc, channel, note, takeTold, cb, pass, buf, stub } = await timed();
  const { timeouts } = cluster.reactors[0].local(bdevManager);
  const other = open(cluster, 'S');
  const others: unknown[] = [];
  desc.setTimeout(2 * SECOND, note);
  other.setTimeout(2 * SECOND, ({ ctx }) => void others.push(ctx));
  channel.read(buf, 0, 512, 512, cb, 'mine');
  channelOf(cluster, other).read(buf, 0, 512, 512, cb, 'theirs');
  pass(2);
  assert.deepEqual([takeTold(), others.splice(0)], [[`mine ${IO_READ} 512+512 2`], ['theirs']]);
  desc.setTimeout(0);
  pass(10);
  assert.equal(timeouts.size, 2, 'its I/O is still under way');
  const third = open(cluster, 'S');
  third.setTimeout(2 * SECOND, note);
  assert.equal(timeouts.size, 3);
  pass(10);
  assert.deepEqual(takeTold(), []);
  stub.complete(2);
  pass(10);
  assert.equal(timeouts.size, 2);
  for (let number = 1; number < 1 << IO_FLAG_MARK_BITS; number++) timeouts.add(number << IO_FLAG_MARK_SHIFT);
  assert.throws(() => desc.setTimeout(SECOND, note), {
    code: 'EMFILE',
    message: '4095 descriptors have a time-out already',
  });
  for (const each of [desc, other, third]) each.close();
  await cluster.close();
});

test('one that another’s callback has ended is not told of', async () => {
  const { cluster, desc, channel, cb, pass, buf, stub, done } = await timed();
  const told: unknown[] = [];
  desc.setTimeout(2 * SECOND, ({ ctx }) => {
    told.push(ctx);
    stub.complete(2);
    // In the place of one of them there is another at once.
    if (told.length === 1) channel.read(buf, 0, 0, 512, cb, 'new');
  });
  channel.read(buf, 0, 0, 512, cb, 'a');
  pass(0.1);
  channel.read(buf, 0, 512, 512, cb, 'b');
  pass(3);
  assert.deepEqual([told, done], [['a'], ['a 0', 'b 0']]);
  stub.complete(1);
  desc.close();
  await cluster.close();
});

test('a time-out out of range, and a descriptor that is closed', async () => {
  const { cluster, desc } = await timed();
  assert.throws(() => desc.setTimeout(-1), /time-out -1 µs, limit above 0 to 86400000000/);
  assert.throws(() => desc.setTimeout(Number.NaN), { code: 'EINVAL' });
  desc.close();
  assert.throws(() => desc.setTimeout(1), { code: 'EBADF' });
  await cluster.close();
});
