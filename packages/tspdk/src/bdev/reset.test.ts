/**
 * Resets: what they stop on every core, and what they must not hold up or leave behind. Checklist: SPDK's test/unit/lib/bdev/mt/bdev.c; titles carry their names. More of them in io.test.ts and
 * many-reactors.test.ts; resets of what is carried to a home core in carry.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoVecs } from '../env/iovecs.ts';
import '../module/bdev/passthru/passthru-bdev.ts';
import { Thread } from '../thread/index.ts';
import { startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { faultRegistry } from './faults/registry.ts';
import { IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import { lockRange } from './lba-lock.ts';
import { stubChannel } from './stub-module.sim.ts';
import { channelOf, make, onCores, open, runIo, setUp, takeLargeBuffers } from './stub-setup.sim.ts';

const BLOCK = 512;

test('aborted_reset: a second reset whose channel is closed before the first is done completes as well', async () => {
  const { cluster, cores, done, cb, close, buf } = await onCores({ reactors: 2 });
  const [a, b] = cores;
  a.stub.abortable = false;
  a.channel.read(buf, 0, 0, BLOCK, cb, 'slow');
  a.channel.reset(cb, 'first');
  cluster.turns();
  b.channel.reset(cb, 'second');
  cluster.settle();
  cluster.on(1, () => b.channel.close());
  cluster.on(0, () => a.channel.close());
  cluster.settle();
  assert.deepEqual(done, []);
  assert.equal(b.stub.closed, false, 'a reset is under way on it');
  a.stub.complete(1);
  cluster.settle();
  assert.deepEqual(done.toSorted(), ['first 0', 'second 0', 'slow 0']);
  assert.deepEqual([a.stub.closed, b.stub.closed], [true, true]);
  await close();
});

test('reset_start_complete_race: one that begins while another opens the cores again, at every moment of it', async () => {
  for (let rounds = 0; rounds < 12; rounds++) {
    const { cluster, cores, done, cb, close, buf } = await onCores({ reactors: 3 });
    cores[0].channel.reset(cb, 'first');
    for (let i = 0; i < rounds; i++) cluster.round();
    cores[1].channel.reset(cb, 'second');
    for (let i = 0; i < rounds; i++) {
      cluster.round();
      for (const { channel } of cores) channel.read(buf, 0, 0, BLOCK, () => {}, 0);
    }
    cluster.settle();
    assert.deepEqual(done.toSorted(), ['first 0', 'second 0']);
    for (const { channel, stub } of cores) {
      // Nobody is held back any more, and nobody was let go too early and too often.
      stub.complete(stub.outstanding.length);
      assert.equal(channel.shared.resetting, 0);
      assert.equal(channel.bdev.resetting, 0);
      channel.read(buf, 0, 0, BLOCK, cb, 'after');
      stub.complete(1);
      assert.equal(done.at(-1), 'after 0');
    }
    await close();
  }
});

test('a reset completes when every core takes I/O again', async () => {
  const { cluster, cores, done, cb, close } = await onCores({ reactors: 3 });
  const [first, ...others] = cores.map(({ channel }) => channel.shared);
  cores[0].channel.reset(cb, 'reset');
  const turn = (core: number, times = 1) => {
    for (let i = 0; i < times; i++) cluster.on(core, () => cluster.reactors[core].turn());
  };
  turn(0, 20);
  assert.equal(first.resetting, 1);
  for (const core of [1, 2]) turn(core);
  cluster.clock.nowUs += 100;
  // The others have drained, and are too slow to hear that they may go on.
  turn(0, 20);
  assert.equal(first.resetting, 0);
  assert.deepEqual(
    others.map((shared) => shared.resetting),
    [1, 1],
  );
  assert.deepEqual(done, []);
  cluster.settle();
  assert.deepEqual(done, ['reset 0']);
  await close();
});

test('a channel that is opened while its disk is being reset is held back by that reset, and let go with the others', async () => {
  const { cluster, cores, done, cb, close, buf } = await onCores({ reactors: 2 });
  cores[1].stub.abortable = false;
  cores[1].channel.read(buf, 0, 0, BLOCK, cb, 'slow');
  cores[0].channel.reset(cb, 'reset');
  cluster.turns();
  const thread = Thread.create(cluster.reactors[0], { name: 'late' }) as Thread;
  const late = thread.run(() => cores[0].desc.getIoChannel());
  late.read(buf, 0, 0, BLOCK, cb, 'during');
  cluster.turns();
  assert.deepEqual(done, ['during -125']);
  assert.notEqual(late.shared, cores[0].channel.shared);
  cores[1].stub.complete(1);
  cluster.settle();
  assert.deepEqual(done, ['during -125', 'slow 0', 'reset 0']);
  late.read(buf, 0, 0, BLOCK, cb, 'after');
  stubChannel('S', 0).complete(1);
  assert.equal(done.at(-1), 'after 0');
  thread.run(() => late.close());
  cluster.settle();
  thread.run(() => thread.exit());
  await close();
});

test('enomem_retry_during_abort: what a callback submits while a reset aborts does not reach the module', async () => {
  const { cluster, cores, done, cb, close, buf } = await onCores({ reactors: 1 });
  const [{ channel, stub }] = cores;
  stub.depth = 2;
  const again = (ctx: unknown, status: number): void => {
    cb(ctx, status);
    channel.read(buf, 0, 0, BLOCK, cb, `after ${ctx}`);
  };
  for (const ctx of ['a', 'b', 'waits']) channel.read(buf, 0, 0, BLOCK, again, ctx);
  assert.equal(channel.shared.queued, 1);
  channel.reset(cb, 'reset');
  cluster.settle();
  assert.deepEqual(done.toSorted(), [
    'a -125',
    'after a -125',
    'after b -125',
    'after waits -125',
    'b -125',
    'reset 0',
    'waits -125',
  ]);
  assert.equal(done.at(-1), 'reset 0');
  await close();
});

test('a callback that throws while a reset aborts does not leave the reset half done', async () => {
  const { cluster, cores, done, cb, close, buf } = await onCores({ reactors: 1 });
  const [{ channel }] = cores;
  const throwing = (): void => {
    throw new Error('user bug');
  };
  channel.read(buf, 0, 0, BLOCK, throwing, 0);
  channel.read(buf, 0, 0, BLOCK, cb, 'other');
  channel.reset(cb, 'reset');
  cluster.settle();
  assert.deepEqual(done, ['other -125', 'reset 0']);
  assert.match(String(cluster.faults.splice(0)), /user bug/);
  await close();
});

test('what the layer carries out, or a fault holds up, does not begin while a reset is under way', async () => {
  const { cluster, cores, done, cb, close, buf } = await onCores(
    { reactors: 1 },
    {
      ioTypes: ioTypes(IO_READ, IO_WRITE),
      limits: { maxRwBlocks: 2 },
    },
  );
  const [{ channel, stub }] = cores;
  const { iobuf } = cluster.reactors[0];
  const taken = takeLargeBuffers(iobuf);
  const faults = faultRegistry(cluster.reactors[0]);
  const stuck = await cluster.until(faults.add('S', 'op=read,action=stuck,skip=1'));
  stub.abortable = false;
  channel.read(buf, 0, 0, BLOCK, cb, 'slow');
  channel.reset(cb, 'reset');
  cluster.turns();
  const iovs = new IoVecs(1);
  iovs.push(buf, 0, BLOCK);
  channel.comparev(iovs, 0, cb, 'compare');
  channel.writeZeroes(0, 8 * BLOCK, 0, cb, 'zeroes');
  channel.write(buf, 0, 0, 8 * BLOCK, cb, 'split');
  channel.read(buf, 0, 0, BLOCK, cb, 'stuck');
  cluster.settle();
  assert.deepEqual(done.splice(0).toSorted(), ['compare -125', 'split -125', 'stuck -125', 'zeroes -125']);
  stub.complete(1);
  cluster.settle();
  assert.deepEqual(done, ['slow 0', 'reset 0']);
  for (const one of taken) iobuf.put(one);
  await cluster.until(faults.remove(stuck));
  await close();
});

test('what the module has no memory for while a reset is under way ends with it', async () => {
  const { cluster, cores, done, cb, close, buf } = await onCores({ reactors: 1 });
  const [{ channel, stub }] = cores;
  stub.abortable = false;
  channel.read(buf, 0, 0, BLOCK, cb, 'r');
  channel.reset(cb, 'reset');
  cluster.settle();
  stub.complete(1, -12);
  cluster.settle();
  assert.deepEqual(done, ['r -125', 'reset 0']);
  assert.deepEqual([stub.outstanding.length, channel.shared.queued], [0, 0]);
  await close();
});

test('what goes on to a disk below as it is, and has no memory there, ends with a reset of the disk above', async () => {
  const { cluster, cores, done, cb, close, buf } = await onCores({ reactors: 1 });
  await cluster.until(cluster.bdevs.create('stub', { name: 'B' }));
  await cluster.until(cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'B' }));
  const desc = cluster.on(0, () => BdevDesc.open('P', { write: true, onEvent: () => {} }));
  const above = cluster.on(0, () => desc.getIoChannel());
  const stub = stubChannel('B');
  stub.abortable = false;
  above.read(buf, 0, 0, BLOCK, cb, 'r');
  assert.equal(stub.outstanding[0].levels, 1);
  above.reset(cb, 'reset');
  cluster.settle();
  assert.deepEqual(done, []);
  stub.complete(1, -12);
  cluster.settle();
  assert.deepEqual(done, ['r -125', 'reset 0']);
  assert.equal(stub.outstanding.length, 0);
  assert.equal(stub.resets, 1);
  cluster.on(0, () => desc.close());
  cores[0].channel.read(buf, 0, 0, BLOCK, cb, 'other');
  cores[0].stub.complete(1);
  assert.equal(done[2], 'other 0');
  await close();
});

test('unregister_during_reset: what a removed disk was reset for ends with -ENODEV, whoever asked', async () => {
  const { cluster, cores, done, cb, buf } = await onCores({ reactors: 2 });
  cores[1].stub.abortable = false;
  cores[1].channel.read(buf, 0, 0, BLOCK, cb, 'slow');
  cores[0].channel.reset(cb, 'reset');
  cluster.turns();
  const removal = cluster.bdevs.delete('S');
  await cluster.untilTrue(() => cores[0].desc.bdev.removing && cores[1].desc.bdev.removing);
  assert.equal(cores[0].channel.reset(cb, 'late'), -19);
  cores[1].stub.complete(1);
  cluster.settle();
  assert.deepEqual(done, ['slow -19', 'reset -19']);
  for (const [core, { desc }] of cores.entries()) cluster.on(core, () => desc.close());
  await cluster.until(removal);
  await cluster.close();
});

test('enomem_multi_bdev_unregister: a disk that goes ends what waits for its memory, and no other disk’s', async () => {
  const { cluster, cores, done, cb, close, buf } = await onCores({ reactors: 1 });
  await cluster.until(cluster.bdevs.create('stub', { name: 'T' }));
  const desc = cluster.on(0, () => BdevDesc.open('T', { write: true, onEvent: () => {} }));
  const other = cluster.on(0, () => desc.getIoChannel());
  const [{ channel, stub }] = cores;
  const there = stubChannel('T');
  for (const [one, disk, name] of [
    [stub, channel, 'S'],
    [there, other, 'T'],
  ] as const) {
    one.depth = 1;
    for (const ctx of ['module', 'waits']) disk.read(buf, 0, 0, BLOCK, cb, `${name} ${ctx}`);
  }
  const removal = cluster.bdevs.delete('T');
  await cluster.untilTrue(() => done.length > 0);
  assert.deepEqual(done, ['T waits -19']);
  there.complete(1);
  desc.close();
  await cluster.until(removal);
  assert.deepEqual(done, ['T waits -19', 'T module -19']);
  assert.equal(channel.shared.queued, 1);
  stub.complete(1);
  cluster.settle();
  stub.complete(1);
  assert.deepEqual(done.slice(2), ['S module 0', 'S waits 0']);
  await close();
});

test('enomem_multi_io_target: each core’s channel waits for its own memory, and is tried again by what completes there', async () => {
  const { cluster, cores, done, cb, close, buf } = await onCores({ reactors: 2 });
  const [a, b] = cores;
  for (const [i, { channel, stub }] of cores.entries()) {
    stub.depth = 1;
    for (const ctx of ['module', 'waits']) channel.read(buf, 0, 0, BLOCK, cb, `${i} ${ctx}`);
    assert.equal(channel.shared.queued, 1);
  }
  a.stub.complete(1);
  cluster.settle();
  assert.deepEqual([a.channel.shared.queued, b.channel.shared.queued], [0, 1]);
  a.stub.complete(1);
  cluster.settle();
  assert.equal(b.channel.shared.queued, 1, 'nothing has completed there');
  assert.deepEqual(done, ['0 module 0', '0 waits 0']);
  b.stub.complete(1);
  cluster.settle();
  b.stub.complete(1);
  assert.deepEqual(done.slice(2), ['1 module 0', '1 waits 0']);
  await close();
});

test('a reset that the disk below has no memory for says so, and the next one goes through', async () => {
  const cluster = await startCluster();
  await make(cluster, { name: 'Low' });
  await cluster.until(cluster.bdevs.create('passthru', { name: 'High', base_bdev_name: 'Low' }));
  const faults = faultRegistry(cluster.reactors[0]);
  await cluster.until(faults.add('Low', 'op=reset,action=error,errno=ENOMEM,count=1'));
  const desc = open(cluster, 'High');
  const channel = channelOf(cluster, desc);
  const reset = () => runIo(cluster, (cb) => channel.reset(cb, null));
  assert.deepEqual([await reset(), await reset(), await reset()], [-12, 0, 0]);
  assert.equal(channel.shared.resets, 0);
  desc.close();
  await cluster.close();
});

test('a compare-and-write that waits for its lock ends with a reset, and lets the lock go when it comes', async () => {
  const { cluster, desc, channel, buf, done, cb, stub, tearDown } = await setUp();
  const iovs = new IoVecs(1);
  iovs.push(buf, 0, 512);
  let held = 0;
  const lock = () => cluster.on(0, () => lockRange(desc.bdev, 0, 512, true, () => void held++));
  const first = lock();
  assert.equal(channel.comparevAndWritev(iovs, iovs, 0, cb, 'waits'), 0);
  await cluster.untilTrue(() => held === 1);
  channel.reset(cb, 'reset');
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done, ['waits -125', 'reset 0']);
  first.release();
  const second = lock();
  await cluster.untilTrue(() => held === 2);
  second.release();
  for (let i = 0; i < 20; i++) cluster.turns();
  assert.equal(stub.outstanding.length, 0);
  await tearDown();
});
