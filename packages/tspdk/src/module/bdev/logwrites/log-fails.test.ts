/** A log that cannot be written, or not yet: what fails then, what waits, and that nothing is taken that the log will not have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { stubChannel, stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, make, open } from '../../../bdev/stub-setup.sim.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { markLogWrites } from './logwrites-bdev.ts';

/** A logged disk in memory, open, whose log is a stub: `stub` its channel, `own` that of the disk's own writes. `cb` adds to `done`. */
async function onStubLog(name: string) {
  const cluster = await startCluster();
  await malloc(cluster, 'M', 64);
  await make(cluster, { name, blocks: 64 });
  const params = { name: 'W', base_bdev_name: 'M', log_bdev_name: name };
  const making = cluster.bdevs.create('logwrites', params as never);
  const own = () => (stubs.channels.get(name) ?? [])[0];
  await cluster.untilTrue(() => own()?.outstanding.length === 1);
  own().complete(1);
  await cluster.until(making);
  const desc = open(cluster, 'W');
  const channel = channelOf(cluster, desc);
  const stub = stubChannel(name);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  /** Removes the disk; `look` sees what is written last, if anything is but what is the disk's own. */
  const close = async (look: (last: BdevIo) => void = () => {}): Promise<void> => {
    desc.close();
    const closing = cluster.bdevs.delete('W', 'logwrites');
    const last = () => [...own().outstanding, ...stub.outstanding];
    await cluster.untilTrue(() => last().length === 1);
    look(last()[0]);
    own().complete(own().outstanding.length);
    stub.complete(stub.outstanding.length);
    await cluster.until(closing);
    await cluster.close();
  };
  return { cluster, channel, own: own(), stub, done, cb, close };
}

test('a log that fails: the write that is missing fails, and all that follows, and the log ends before it', async () => {
  const { cluster, channel, stub, done, cb, close } = await onStubLog('LogBase5');
  const buf = cluster.memory(4096);
  channel.write(buf, 0, 0, 512, cb, 'a');
  cluster.turns();
  assert.equal(stub.outstanding.length, 2, 'the entry and its data');
  channel.write(buf, 0, 512, 512, cb, 'b');
  cluster.turns();
  assert.equal(stub.outstanding.length, 4);
  stub.complete(1);
  stub.complete(1, -5);
  stub.complete(2);
  cluster.turns();
  channel.write(buf, 0, 0, 512, cb, 'c');
  channel.flush(0, 512, cb, 'f');
  cluster.turns();
  assert.deepEqual(done, ['a -5', 'b 0', 'c -5', 'f -5']);
  await assert.rejects(cluster.until(markLogWrites(cluster.reactors[0], 'W', 'x')), { code: 'EIO' });
  await close(({ iovs }) => {
    const { view } = iovs.segment[0] as NonNullable<(typeof iovs.segment)[0]>;
    assert.equal(view.getUint32(iovs.offset[0] + 16, true), 0, 'entries');
  });
});

test('a log whose disk goes: what it was to hold ends as all of a disk that goes, and so does what follows', async () => {
  const { cluster, channel, stub, done, cb, close } = await onStubLog('LogBase9');
  const buf = cluster.memory(4096);
  channel.write(buf, 0, 0, 512, cb, 'a');
  channel.flush(0, 512, cb, 'f');
  cluster.turns();
  // The log's disk has heard that it goes, and this one not yet.
  stub.complete(stub.outstanding.length, -19);
  cluster.turns();
  channel.write(buf, 0, 0, 512, cb, 'b');
  cluster.turns();
  assert.deepEqual(done, ['a -19', 'f -19', 'b -19']);
  await assert.rejects(cluster.until(markLogWrites(cluster.reactors[0], 'W', 'x')), { code: 'ENODEV' });
  await close();
});

test('a flush behind what the log does not have fails, and so does one that the superblock does not count; then nothing is taken', async () => {
  for (const fails of ['entry', 'superblock']) {
    const name = `LogBase-${fails}`;
    const { cluster, channel, stub, done, cb, close } = await onStubLog(name);
    const buf = cluster.memory(512);
    channel.write(buf, 0, 0, 512, cb, 'w');
    cluster.turns();
    channel.flush(0, 512, cb, 'f');
    cluster.turns();
    assert.equal(stub.outstanding.length, 3);
    stub.complete(1);
    stub.complete(1, fails === 'entry' ? -28 : 0);
    stub.complete(1);
    cluster.turns();
    stub.complete(stub.outstanding.length, -28);
    cluster.turns();
    assert.deepEqual(done.splice(0), [fails === 'entry' ? 'w -5' : 'w 0', 'f -5']);
    channel.write(buf, 0, 0, 512, cb, 'v');
    cluster.turns();
    assert.deepEqual([done, stub.outstanding.length], [['v -5'], 0]);
    await close();
  }
});

test('a flush waits for a superblock that counts it, not for one that was on its way before', async () => {
  const { cluster, channel, stub, done, cb, close } = await onStubLog('LogBase8');
  for (const name of ['f', 'g']) {
    channel.flush(0, 512, cb, name);
    cluster.turns();
    const entry = stub.outstanding.findIndex((io) => io.byteOffset > 0);
    stub.outstanding.splice(entry, 1)[0].complete(0);
    cluster.turns();
  }
  assert.equal(stub.outstanding.length, 1, 'one superblock at a time');
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['f 0']);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['f 0', 'g 0']);
  await close();
});

test('the log’s disk is reset by others, who share what it stands on: what was being written there is written again', async () => {
  const { cluster, channel, own, stub, done, cb, close } = await onStubLog('LogBase10');
  channel.write(cluster.memory(512), 0, 0, 512, cb, 'w');
  cluster.turns();
  // One of the two parts, then both.
  stub.complete(1, -125);
  stub.complete(1);
  await cluster.untilTrue(() => stub.outstanding.length === 2);
  stub.complete(2, -125);
  await cluster.untilTrue(() => stub.outstanding.length === 2);
  stub.complete(2);
  cluster.turns();
  assert.deepEqual(done, ['w 0']);
  channel.flush(0, 512, cb, 'f');
  cluster.turns();
  stub.complete(1);
  cluster.turns();
  assert.equal(stub.outstanding[0].byteOffset, 0, 'the superblock');
  stub.complete(1, -125);
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  assert.deepEqual(done, ['w 0']);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['w 0', 'f 0']);
  channel.reset(cb, 'reset');
  await cluster.untilTrue(() => done.length === 3);
  assert.deepEqual(done.splice(2), ['reset 0']);
  assert.deepEqual([own.resets, stub.resets], [0, 0], 'the log is not reset with the disk');
  // What fails for good is not hidden by an abort.
  channel.write(cluster.memory(512), 0, 0, 512, cb, 'v');
  cluster.turns();
  stub.complete(1, -5);
  stub.complete(1, -125);
  cluster.turns();
  assert.deepEqual(done.slice(2), ['v -5']);
  await close();
});
