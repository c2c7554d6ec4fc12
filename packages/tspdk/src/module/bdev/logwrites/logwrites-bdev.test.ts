/** A logged disk: the log replayed is the disk, its order is what a flush promises, and nothing changes the disk that the log cannot hold. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { EXTENT_HOLE, EXTENT_ZERO, Extents } from '../../../bdev/extents.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { stubChannel, stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, make, open, takeBdevIos } from '../../../bdev/stub-setup.sim.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import '../null/null-bdev.ts';
import { LOG_DISCARD_FLAG, LOG_FLUSH_FLAG, LOG_FUA_FLAG, LOG_MARK_FLAG } from './log-format.ts';
import { diskInMemory, entriesBeforeMark, LogReader, logInMemory, replayLog } from './log-replay.ts';
import { LOG_OPS } from './log-state.ts';
import { markLogWrites } from './logwrites-bdev.ts';

const over = (cluster: Cluster, base: string, log: string, name = 'W') =>
  cluster.until(cluster.bdevs.create('logwrites', { name, base_bdev_name: base, log_bdev_name: log } as never));
const mark = (cluster: Cluster, label: string) => cluster.until(markLogWrites(cluster.reactors[0], 'W', label));

/** All that is on a disk. */
async function contents(cluster: Cluster, name: string): Promise<Uint8Array> {
  const desc = open(cluster, name, false);
  const channel = channelOf(cluster, desc);
  const { sizeBytes } = desc.bdev;
  const buf = cluster.memory(sizeBytes);
  const done: number[] = [];
  const cb = (_: unknown, status: number) => void done.push(status);
  assert.equal(channel.read(buf, 0, 0, sizeBytes, cb, 0), 0);
  await cluster.untilTrue(() => done.length > 0);
  assert.deepEqual(done, [0]);
  desc.close();
  return Uint8Array.from(buf.u8);
}

/** What the log on a disk says, an entry a line. */
async function entries(cluster: Cluster, log: string): Promise<string[]> {
  const reader = new LogReader(logInMemory(await contents(cluster, log)));
  const lines: string[] = [];
  while (reader.next()) {
    const { flags, sector, nrSectors } = reader.entry;
    const kind = flags & LOG_MARK_FLAG ? `mark ${reader.label}` : flags & LOG_FLUSH_FLAG ? 'flush' : '';
    const change = flags & LOG_DISCARD_FLAG ? 'discard' : flags & LOG_FUA_FLAG ? 'fua' : 'write';
    lines.push(kind === '' ? `${change} ${sector} ${nrSectors}` : kind);
  }
  assert.equal(reader.torn, null);
  return lines;
}

test('whatever is done to the disk, from every reactor: the log replayed is the disk', async () => {
  await fc.assert(
    fc.asyncProperty(modelBatches(256, 60), fc.constantFrom(512, 4096), async (batches, blockSize) => {
      const cluster = await startCluster({ reactors: 2 });
      await malloc(cluster, 'M', 256, { block_size: blockSize });
      await malloc(cluster, 'L', 5000, { block_size: blockSize });
      const bdev = await over(cluster, 'M', 'L');
      const disk = new Uint8Array(bdev.sizeBytes);
      await runModel(cluster, bdev, disk, batches);
      await mark(cluster, 'here');
      const log = logInMemory(await contents(cluster, 'L'));
      const replayed = new Uint8Array(bdev.sizeBytes);
      const before = entriesBeforeMark(log, 'here');
      assert.ok(before >= 0);
      assert.deepEqual(replayLog(log, diskInMemory(replayed)), { entries: before + 1, torn: null });
      assert.equal(Buffer.compare(replayed, await contents(cluster, 'M')), 0);
      await cluster.close();
    }),
    { numRuns: 25 },
  );
});

test('the kinds of entries; a log that was there is gone; what is written behind the last flush counts once it is closed', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await malloc(cluster, 'M', 64);
  await malloc(cluster, 'L', 64);
  await over(cluster, 'M', 'L');
  await mark(cluster, 'old');
  await cluster.until(cluster.bdevs.delete('W', 'logwrites'));
  await over(cluster, 'M', 'L');
  assert.deepEqual(await entries(cluster, 'L'), []);
  const desc = open(cluster, 'W');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(4096);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  channel.write(buf, 0, 1024, 512, cb, 'w');
  cluster.turns();
  channel.write(buf, 0, 2048, 1024, cb, 'fua', 1);
  cluster.turns();
  channel.unmap(512, 1024, cb, 'u');
  cluster.turns();
  channel.flush(0, 512, cb, 'f');
  cluster.turns();
  channel.writeZeroes(0, 512, 0, cb, 'z');
  cluster.turns();
  assert.deepEqual(done, ['w 0', 'fua 0', 'u 0', 'f 0', 'z 0']);
  const flushed = ['write 2 1', 'fua 4 2', 'discard 1 2', 'flush'];
  assert.deepEqual(await entries(cluster, 'L'), flushed);
  desc.close();
  await cluster.until(cluster.bdevs.delete('W', 'logwrites'));
  assert.deepEqual(await entries(cluster, 'L'), [...flushed, 'write 0 1']);
  await cluster.close();
});

/** A logged disk on a stub, whose I/O the test completes; the log in memory. */
async function onStub(name: string, logBlocks = 64) {
  const cluster = await startCluster();
  await make(cluster, { name, blocks: 4096 });
  await malloc(cluster, 'L', logBlocks);
  await over(cluster, name, 'L');
  const desc = open(cluster, 'W');
  const channel = channelOf(cluster, desc);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  const tearDown = async (): Promise<void> => {
    desc.close();
    await cluster.close();
  };
  return { cluster, channel, stub: stubChannel(name), done, cb, buf: cluster.memory(65536), tearDown };
}

test('a flush stands behind what was complete when it was submitted, and before all else', async () => {
  const { cluster, channel, stub, done, cb, buf, tearDown } = await onStub('LogBase1');
  for (const i of [1, 2, 3]) assert.equal(channel.write(buf, 0, i * 512, 512, cb, `w${i}`), 0);
  stub.outstanding.reverse();
  stub.complete(2);
  cluster.turns();
  assert.equal(channel.flush(0, 512, cb, 'f'), 0);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['w3 0', 'w2 0', 'w1 0'], 'a write does not wait for a flush');
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done.slice(3), ['f 0']);
  assert.deepEqual(await entries(cluster, 'L'), ['write 3 1', 'write 2 1', 'flush', 'write 1 1']);
  await tearDown();
});

test('what fails below is not in the log; a flush that fails is a mark', async () => {
  const { cluster, channel, stub, done, cb, buf, tearDown } = await onStub('LogBase2');
  channel.write(buf, 0, 0, 512, cb, 'w');
  channel.flush(0, 512, cb, 'f');
  stub.complete(2, -5);
  cluster.turns();
  channel.write(buf, 0, 512, 512, cb, 'v');
  assert.equal(channel.abort('v'), 1);
  cluster.turns();
  channel.flush(0, 512, cb, 'g');
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['w -5', 'f -5', 'v -125', 'g 0']);
  assert.deepEqual(await entries(cluster, 'L'), ['mark flush failed', 'flush']);
  await tearDown();
});

test('a full log: nothing reaches the disk that it could not hold, reads go on', async () => {
  const { cluster, channel, stub, done, cb, buf, tearDown } = await onStub('LogBase3', 8);
  assert.equal(channel.write(buf, 0, 0, 512 * 4, cb, 'a'), 0);
  assert.equal(channel.write(buf, 0, 0, 512 * 2, cb, 'b'), 0);
  cluster.turns();
  assert.equal(stub.outstanding.length, 1, 'room is kept for what is under way');
  assert.deepEqual(done, ['b -28']);
  assert.equal(channel.write(buf, 0, 0, 512, cb, 'c'), 0);
  stub.complete(2);
  cluster.turns();
  for (const ask of [
    () => channel.flush(0, 512, cb, 'f'),
    () => channel.unmap(0, 512, cb, 'u'),
    () => channel.writeZeroes(0, 512, 0, cb, 'z'),
    () => channel.read(buf, 0, 0, 512, cb, 'r'),
  ]) {
    assert.equal(ask(), 0);
  }
  cluster.turns();
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done.slice(1), ['a 0', 'c 0', 'f -28', 'u -28', 'z -28', 'r 0']);
  await assert.rejects(mark(cluster, 'x'), { code: 'ENOSPC' });
  await tearDown();
});

test('room that was kept for a write that failed is there again', async () => {
  const { cluster, channel, stub, done, cb, buf, tearDown } = await onStub('LogBase4', 6);
  for (let i = 0; i < 5; i++) {
    assert.equal(channel.write(buf, 0, 0, 512 * 4, cb, i), 0);
    stub.complete(1, i < 4 ? -5 : 0);
    cluster.turns();
  }
  assert.deepEqual(done, ['0 -5', '1 -5', '2 -5', '3 -5', '4 0']);
  await tearDown();
});

test('more I/Os than there are entries under way, and fewer BdevIos than it takes: all are carried out', async () => {
  const { cluster, channel, stub, done, cb, buf, tearDown } = await onStub('LogBase6', 4 * LOG_OPS);
  const { pool } = channel.shared.manager;
  const asked = LOG_OPS + 40;
  for (let i = 0; i < asked; i++) assert.equal(channel.write(buf, 0, i * 512, 512, cb, 'w'), 0);
  assert.equal(stub.outstanding.length, LOG_OPS);
  // An entry takes two for the log, and there is one: what the disk below has just given back.
  pool.setOptions({ ios: pool.all.length, growBy: 1 });
  const giveBack = takeBdevIos(pool);
  stub.complete(LOG_OPS);
  giveBack();
  await cluster.untilTrue(() => {
    stub.complete(stub.outstanding.length);
    pool.wake();
    return done.length === asked;
  });
  assert.ok(done.every((line) => line === 'w 0'));
  pool.setOptions({ ios: 65535, growBy: 256 });
  await mark(cluster, 'end');
  const lines = await entries(cluster, 'L');
  assert.equal(lines.length, asked + 1);
  assert.equal(new Set(lines).size, asked + 1);
  await tearDown();
});

test('disks that do not fit, marks that are too long, disks that are not there', async () => {
  const cluster = await startCluster();
  await make(cluster, { name: 'LogBase7', blockSizeBytes: 1536 });
  await malloc(cluster, 'M', 64);
  await malloc(cluster, 'L', 64, { block_size: 4096 });
  await assert.rejects(over(cluster, 'M', 'LogBase7'), { code: 'EINVAL' }, 'sectors of 1536 bytes');
  await assert.rejects(over(cluster, 'M', 'L'), { code: 'EINVAL' }, 'sectors larger than blocks');
  await assert.rejects(over(cluster, 'M', 'M'), { code: 'EPERM' });
  await assert.rejects(over(cluster, 'M', 'N'), { code: 'ENODEV' });
  await over(cluster, 'L', 'M');
  await assert.rejects(mark(cluster, 'x'.repeat(481)), { code: 'ENAMETOOLONG' });
  await mark(cluster, 'x'.repeat(480));
  await assert.rejects(cluster.until(markLogWrites(cluster.reactors[0], 'V', 'x')), { code: 'ENODEV' });
  assert.deepEqual(cluster.bdevs.configCalls().find(({ method }) => method === 'bdev_logwrites_create')?.params, {
    name: 'W',
    base_bdev_name: 'L',
    log_bdev_name: 'M',
    uuid: cluster.bdevs.get('W').uuid,
  });
  await cluster.close();
});

test('a log that is too small, or of which no channel can be had, lets both disks go', async () => {
  const cluster = await startCluster();
  await malloc(cluster, 'M', 64);
  await malloc(cluster, 'One', 1);
  await assert.rejects(over(cluster, 'M', 'One'), { code: 'EINVAL', message: /512 bytes holds no entry/ });
  await make(cluster, { name: 'LogBase11' });
  stubs.failChannel('LogBase11');
  await assert.rejects(over(cluster, 'M', 'LogBase11'), /no channel/);
  for (const name of ['M', 'One', 'LogBase11']) await cluster.until(cluster.bdevs.delete(name));
  await cluster.close();
});

test('a reset, from whatever core, resets the disk below', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await make(cluster, { name: 'LogBase9' });
  await malloc(cluster, 'L', 64);
  await over(cluster, 'LogBase9', 'L');
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  const buf = cluster.memory(512);
  const descs = [0, 1].map((core) => cluster.on(core, () => BdevDesc.open('W', { write: true, onEvent: () => {} })));
  for (const core of [0, 1]) {
    const channel = cluster.on(core, () => descs[core].getIoChannel());
    channel.write(buf, 0, 0, 512, cb, core);
    channel.flush(0, 512, cb, core);
    channel.reset(cb, 'reset');
    await cluster.untilTrue(() => done.length === 3);
    // The flush below is given up, and stands in the log as one that failed.
    assert.deepEqual(done.splice(0), [`${core} -125`, `${core} -125`, 'reset 0']);
  }
  const resets = (name: string) => (stubs.channels.get(name) ?? []).reduce((sum, each) => sum + each.resets, 0);
  assert.equal(resets('LogBase9'), 2);
  assert.deepEqual(await entries(cluster, 'L'), ['mark flush failed', 'mark flush failed']);
  for (const [core, desc] of descs.entries()) cluster.on(core, () => desc.close());
  await cluster.close();
});

test('what is a hole below is one here', async () => {
  const cluster = await startCluster();
  await malloc(cluster, 'M', 1024);
  await malloc(cluster, 'L', 64);
  await over(cluster, 'M', 'L');
  const desc = open(cluster, 'W');
  const channel = channelOf(cluster, desc);
  let written = false;
  channel.write(cluster.memory(512), 0, 0, 512, () => (written = true), null);
  await cluster.untilTrue(() => written);
  const extents = new Extents(4);
  assert.equal(channel.blockStatus(0, 1024 * 512, extents), 0);
  assert.deepEqual([...extents.flags.subarray(0, extents.count)], [0, EXTENT_HOLE | EXTENT_ZERO]);
  desc.close();
  await cluster.close();
});

test('it grows with the disk below, and its log with the log’s', async () => {
  const cluster = await startCluster({ reactors: 2 });
  for (const [name, num_blocks] of [
    ['M', 16],
    ['L', 4],
  ] as const) {
    await cluster.until(cluster.bdevs.create('null', { name, block_size: 512, num_blocks }));
  }
  const bdev = await over(cluster, 'M', 'L');
  const desc = open(cluster, 'W');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(4096);
  const write = async (block: number): Promise<number> => {
    let status: number | null = null;
    const rc = channel.write(
      buf,
      0,
      block * 512,
      512,
      (_, result) => {
        status = result;
      },
      null,
    );
    if (rc !== 0) return rc;
    await cluster.untilTrue(() => status !== null);
    return status as unknown as number;
  };
  assert.equal(await write(20), -22);
  assert.equal(await write(15), 0);
  assert.equal(await write(15), -28, 'the log is full');
  await cluster.until(cluster.bdevs.resize('L', 6));
  assert.equal(await write(15), 0);
  await cluster.until(cluster.bdevs.resize('M', 32));
  await cluster.untilTrue(() => bdev.blocks === 32);
  await cluster.until(cluster.bdevs.resize('L', 8));
  assert.equal(await write(20), 0);
  desc.close();
  await cluster.close();
});
