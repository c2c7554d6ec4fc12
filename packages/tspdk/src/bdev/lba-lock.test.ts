/**
 * Locks of ranges and quiescing, what compare.test.ts does not tell of them. Checklist: SPDK's bdev_ut lock_lba_range_check_ranges, lba_range_overlap, bdev_quiesce; titles carry their names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BdevDesc } from './desc.ts';
import { lockRange } from './lba-lock.ts';
import { stubChannel } from './stub-module.sim.ts';
import { lockable, make } from './stub-setup.sim.ts';

const BLOCK = 512;

test('bdev_quiesce: what it held goes on after its release, in order, and what lies beside the range is not held', async () => {
  const { cluster, cores, log, buf, cb, lock, close } = await lockable(2);
  const [a, b] = cores;
  const held = lock(0, 'Q', 10, 10, true);
  await cluster.untilTrue(() => log.length === 1);
  for (const [name, block, blocks] of [
    ['before', 9, 1],
    ['into', 9, 2],
    ['within', 12, 3],
    ['out of', 19, 2],
    ['behind', 20, 1],
    ['around', 0, 64],
  ] as const) {
    assert.equal(b.channel.read(buf, 0, block * BLOCK, blocks * BLOCK, cb, name), 0);
  }
  assert.equal(a.channel.write(buf, 0, 30 * BLOCK, BLOCK, cb, 'far'), 0);
  const waiting = () => b.stub.outstanding.map((io) => [io.byteOffset / BLOCK, io.bytes / BLOCK]);
  assert.deepEqual(waiting(), [
    [9, 1],
    [20, 1],
  ]);
  assert.equal(a.stub.outstanding.length, 1);
  held.release();
  await cluster.untilTrue(() => b.stub.outstanding.length === 6);
  assert.deepEqual(waiting().slice(2), [
    [9, 2],
    [12, 3],
    [19, 2],
    [0, 64],
  ]);
  b.stub.complete(6);
  a.stub.complete(1);
  cluster.turns();
  assert.deepEqual(log, ['Q held', 'before 0', 'behind 0', 'into 0', 'within 0', 'out of 0', 'around 0', 'far 0']);
  await close();
});

test('lock_lba_range_check_ranges: a channel that is opened while a lock is held is held by it', async () => {
  const { cluster, cores, log, buf, cb, lock, close } = await lockable(2);
  const { desc } = cores[1];
  desc.close();
  cluster.turns();
  const held = lock(0, 'L', 10, 10);
  await cluster.untilTrue(() => log.length === 1);
  const newDesc = cluster.on(1, () => BdevDesc.open('S', { write: true, onEvent: () => {} }));
  const channel = cluster.on(1, () => newDesc.getIoChannel());
  const stub = stubChannel('S', 1);
  assert.equal(channel.write(buf, 0, 15 * BLOCK, BLOCK, cb, 'held'), 0);
  assert.equal(channel.write(buf, 0, 20 * BLOCK, BLOCK, cb, 'free'), 0);
  assert.deepEqual(
    stub.outstanding.map(({ byteOffset }) => byteOffset / BLOCK),
    [20],
  );
  stub.complete(1);
  held.release();
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(log, ['L held', 'free 0', 'held 0']);
  assert.equal(channel.shared.gates, null, 'gates go with the lock');
  newDesc.close();
  await close();
});

test('lba_range_overlap: an I/O is held exactly when it reaches into the range, a read by quiescing alone, and a lock waits exactly for those', async () => {
  const { cluster, cores, log, buf, cb, lock, close } = await lockable(1);
  const [{ channel, stub }] = cores;
  const range = fc.record({ at: fc.nat(12), blocks: fc.integer({ min: 1, max: 6 }) });
  await fc.assert(
    fc.asyncProperty(range, range, fc.boolean(), fc.boolean(), async (locked, io, quiesce, reads) => {
      log.length = 0;
      const overlaps = io.at < locked.at + locked.blocks && locked.at < io.at + io.blocks;
      const reaches = overlaps && (quiesce || !reads);
      const start = (name: string) =>
        channel[reads ? 'read' : 'write'](buf, 0, io.at * BLOCK, io.blocks * BLOCK, cb, name);
      assert.equal(start('first'), 0);
      const held = lock(0, 'L', locked.at, locked.blocks, quiesce);
      for (let i = 0; i < 50; i++) cluster.round();
      assert.equal(log.includes('L held'), !reaches);
      stub.complete(1);
      await cluster.untilTrue(() => log.includes('L held'));
      assert.equal(start('second'), 0);
      assert.equal(stub.outstanding.length, reaches ? 0 : 1);
      held.release();
      await cluster.untilTrue(() => channel.shared.gates === null);
      stub.complete(1);
      cluster.turns();
      assert.equal(log.length, 3);
    }),
    { numRuns: 200 },
  );
  await close();
});

test('lock_lba_range_overlapped: nobody is overtaken by one who asked later for some of the same, whatever is let go first', async () => {
  const { cluster, log, lock, close } = await lockable(2);
  const [a, b] = [lock(0, 'A', 0, 10), lock(1, 'B', 20, 10)];
  await cluster.untilTrue(() => log.length === 2);
  // It waits for both, the next one for B and then for it, the last one for nobody.
  const both = lock(1, 'both', 5, 20);
  const next = lock(1, 'next', 22, 20);
  const free = lock(1, 'free', 50, 1);
  await cluster.untilTrue(() => log.length === 3);
  const behind = lock(1, 'behind next', 35, 10);
  cluster.settle();
  b.release();
  cluster.settle();
  assert.deepEqual(log.slice(2), ['free held']);
  a.release();
  cluster.settle();
  both.release();
  cluster.settle();
  next.release();
  cluster.settle();
  assert.deepEqual(log.slice(3), ['both held', 'next held', 'behind next held']);
  for (const each of [free, behind]) each.release();
  cluster.settle();
  await close();
});

test('locks of one disk are nothing to another', async () => {
  const { cluster, cores, log, lock, close } = await lockable(2);
  const other = await make(cluster, { name: 'other' });
  const held = [lock(0, 'S', 0, 10)];
  held.push(lockRange(other, 0, 10 * BLOCK, false, () => log.push('other held')));
  held.push(lockRange(cores[1].desc.bdev, 5 * BLOCK, BLOCK, false, () => log.push('S again')));
  cluster.settle();
  assert.deepEqual(log.splice(0).toSorted(), ['S held', 'other held']);
  held[0].release();
  cluster.settle();
  assert.deepEqual(log, ['S again']);
  held[1].release();
  held[2].release();
  cluster.settle();
  await close();
});

test('a lock is let go once, and not before it is held', async () => {
  const { cluster, log, lock, close } = await lockable(2);
  const held = lock(0, 'L', 0, 10);
  assert.throws(() => held.release(), /a lock is released once, when it is held/);
  await cluster.untilTrue(() => log.length === 1);
  held.release(() => log.push('released'));
  assert.throws(() => held.release(), /a lock is released once, when it is held/);
  await cluster.untilTrue(() => log.length === 2);
  assert.throws(() => held.release(), /a lock is released once/);
  assert.deepEqual(log, ['L held', 'released']);
  await close();
});
