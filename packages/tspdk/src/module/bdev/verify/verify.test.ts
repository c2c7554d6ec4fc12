/** Verify disks: equal disks are one, the first difference in data or outcome stops it, and what overlaps has one order on both. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { EXTENT_HOLE, EXTENT_ZERO, Extents } from '../../../bdev/extents.ts';
import { faultRegistry } from '../../../bdev/index.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { stubChannel, stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, make, open, runIo, takeBdevIos, takeLargeBuffers } from '../../../bdev/stub-setup.sim.ts';
import type { ThreadChannel } from '../../../bdev/thread-channel.ts';
import { notifyOf } from '../../../notify/index.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { DIFFERENCE_EVENT } from './verify-backend.ts';
import { difference, onStubs, over } from './verify-setup.sim.ts';

/** Two memory disks with a verify disk on top, open. */
async function pair(reactors = 1, num_blocks = 1024) {
  const cluster = await startCluster({ reactors });
  for (const name of ['A', 'B']) {
    await malloc(cluster, name, num_blocks);
  }
  await over(cluster, 'A', 'B');
  const desc = open(cluster, 'V');
  return { cluster, desc, channel: channelOf(cluster, desc) };
}

test('two disks that do the same are one, from several cores', async () => {
  await fc.assert(
    fc.asyncProperty(modelBatches(600, 400), async (batches) => {
      const { cluster, desc } = await pair(2, 600);
      await runModel(cluster, cluster.bdevs.get('V'), new Uint8Array(600 * 512), batches);
      assert.equal(difference(cluster), '');
      desc.close();
      await cluster.close();
    }),
    { numRuns: 20 },
  );
});

test('the first difference stops the disk: data at its byte, or an outcome; it is told once', async () => {
  for (const [rule, io, expected] of [
    // Far behind the first buffer's worth.
    ['op=read,action=corrupt,offset_blocks=300,num_blocks=1', 'read', /^the data differ at byte 135680$/],
    ['op=write,action=lost', 'write', /^the data differ at byte 512$/],
    ['op=write,action=error,errno=ENOSPC', 'write', /^write of 262144 bytes at 512 ends with 0 and with -28$/],
    ['op=read,action=error', 'read', /^read of 262144 bytes at 512 ends with 0 and with -5$/],
  ] as const) {
    const { cluster, desc, channel } = await pair();
    const buf = cluster.memory(1 << 18);
    buf.u8.fill(3);
    if (io === 'read') assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 512, 1 << 18, cb, null)), 0);
    await cluster.until(faultRegistry(cluster.reactors[0]).add('B', rule));
    if (io === 'write') await runIo(cluster, (cb) => channel.write(buf, 0, 512, 1 << 18, cb, null));
    assert.equal(await runIo(cluster, (cb) => channel.read(buf, 0, 512, 1 << 18, cb, null)), -5, rule);
    assert.match(difference(cluster), expected);
    await cluster.until(faultRegistry(cluster.reactors[0]).clear('B'));
    assert.equal(await runIo(cluster, (cb) => channel.read(buf, 0, 900 * 512, 512, cb, null)), -5, 'it has stopped');
    assert.match(difference(cluster), expected, 'the first one stays');
    assert.equal(channel.blockStatus(0, 512, new Extents(1)), -5);
    const events = notifyOf(cluster.reactors[0])
      .events()
      .filter(({ type }) => type === DIFFERENCE_EVENT);
    assert.deepEqual(
      events.map(({ context }) => context),
      ['V'],
    );
    desc.close();
    await cluster.close();
  }
});

test('an error that both have alike is the disk’s own', async () => {
  const { cluster, desc, channel } = await pair();
  for (const name of ['A', 'B'])
    await cluster.until(faultRegistry(cluster.reactors[0]).add(name, 'action=error,count=1'));
  const buf = cluster.memory(512);
  assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 0, 512, cb, null)), -5);
  assert.equal(difference(cluster), '');
  assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 0, 512, cb, null)), 0);
  desc.close();
  await cluster.close();
});

test('what overlaps waits for its turn, what does not goes beside it; one that waits can be aborted', async () => {
  const cluster = await startCluster();
  for (const name of ['A', 'B']) await make(cluster, { name });
  await over(cluster, 'A', 'B');
  const desc = open(cluster, 'V');
  const channel = channelOf(cluster, desc);
  const [a, b] = [stubChannel('A'), stubChannel('B')];
  const buf = cluster.memory(65536);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  const at = (stub: typeof a) => stub.outstanding.map(({ type, byteOffset }) => `${type}@${byteOffset / 512}`);
  channel.write(buf, 0, 0, 4 * 512, cb, 'first');
  channel.write(buf, 0, 3 * 512, 2 * 512, cb, 'over first');
  channel.read(buf, 8192, 4 * 512, 512, cb, 'behind that');
  channel.write(buf, 0, 10 * 512, 512, cb, 'elsewhere');
  channel.unmap(0, 512, cb, 'given up');
  channel.flush(0, 1024 * 512, cb, 'flush');
  assert.deepEqual(at(a), ['2@0', '2@10', '4@0']);
  assert.equal(channel.abort('given up'), 1);
  assert.equal(channel.abort('first'), 0, 'it has begun');
  a.complete(3);
  assert.deepEqual([at(a), at(b)], [[], ['2@0', '2@10', '4@0']]);
  b.complete(3);
  cluster.turns();
  assert.deepEqual(done.splice(0), ['given up -125', 'first 0', 'elsewhere 0', 'flush 0']);
  assert.deepEqual(at(a), ['2@3'], 'the read waits for the write that was before it');
  a.complete(1);
  b.complete(1);
  cluster.turns();
  assert.deepEqual(at(a), ['1@4']);
  a.complete(1);
  b.complete(1, -5);
  cluster.turns();
  assert.deepEqual(done, ['over first 0', 'behind that -5']);
  assert.match(difference(cluster), /^read of 512 bytes at 2048 ends with 0 and with -5/);
  desc.close();
  await cluster.close();
});

test('who waits keeps his place; of several that differ at once the first to be found is told', async () => {
  const cluster = await startCluster();
  for (const name of ['A', 'B']) await make(cluster, { name });
  await over(cluster, 'A', 'B');
  const desc = open(cluster, 'V');
  const channel = channelOf(cluster, desc);
  const [a, b] = [stubChannel('A'), stubChannel('B')];
  const buf = cluster.memory(65536);
  const cb = (): void => {};
  const at = (stub: typeof a) => stub.outstanding.map(({ byteOffset }) => byteOffset / 512);
  channel.write(buf, 0, 0, 2 * 512, cb, null);
  channel.write(buf, 0, 3 * 512, 2 * 512, cb, null);
  // Over both; and one behind it that only it is in the way of.
  channel.write(buf, 0, 512, 3 * 512, cb, null);
  channel.write(buf, 0, 2 * 512, 512, cb, null);
  a.complete(1);
  b.complete(1);
  cluster.turns();
  assert.deepEqual(at(a), [3]);
  a.complete(1);
  b.complete(1);
  cluster.turns();
  assert.deepEqual(at(a), [1]);
  a.complete(1);
  b.complete(1);
  cluster.turns();
  assert.deepEqual(at(a), [2]);
  a.complete(1);
  b.complete(1);
  channel.read(buf, 0, 0, 512, cb, null);
  channel.read(buf, 512, 0, 512, cb, null);
  assert.deepEqual(at(a), [0, 0], 'reads do not wait for each other');
  a.complete(2);
  b.complete(1, -28);
  b.complete(1, -5);
  assert.match(difference(cluster), /with 0 and with -28/);
  desc.close();
  await cluster.close();
});

test('a disk whose channel cannot be made fails that of the verify disk, and the other’s is given back', async () => {
  const cluster = await startCluster();
  for (const name of ['A', 'B']) await make(cluster, { name });
  await over(cluster, 'A', 'B');
  const desc = open(cluster, 'V');
  stubs.failChannel('B');
  assert.throws(() => channelOf(cluster, desc), /no channel of "B" now/);
  cluster.turns();
  assert.equal(stubChannel('A').closed, true);
  channelOf(cluster, desc);
  desc.close();
  await cluster.close();
});

test('memory and I/Os of the pool are waited for', async () => {
  const { cluster, desc, channel } = await pair();
  const { iobuf } = cluster.reactors[0];
  const taken = takeLargeBuffers(iobuf);
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 2, bdev_io_cache_size: 1 }));
  const buf = cluster.memory(65536);
  const done: number[] = [];
  for (let i = 0; i < 2; i++) {
    const rc = channel.read(buf, 0, i * 512, 512, (_, status) => void done.push(status), null);
    assert.ok(rc === 0 || rc === -12);
  }
  cluster.turns();
  assert.deepEqual(done, []);
  for (const each of taken) iobuf.put(each);
  await cluster.untilTrue(() => done.length > 0);
  assert.equal(done[0], 0);
  desc.close();
  await cluster.close();
});

test('disks of different sizes, one twice, and one that is in use', async () => {
  const cluster = await startCluster();
  for (const [name, blocks] of [
    ['A', 64],
    ['B', 65],
    ['C', 64],
  ] as const)
    await make(cluster, { name, blocks });
  await assert.rejects(over(cluster, 'A', 'B'), /one size; "A" has 64 blocks of 512 bytes, "B" has 65 blocks/);
  for (const name of ['large', 'as large']) await make(cluster, { name, blockSizeBytes: 262144 });
  await assert.rejects(over(cluster, 'large', 'as large'), /blocks of up to 135168 bytes, not 262144/);
  await assert.rejects(over(cluster, 'A', 'A'), { code: 'EPERM' });
  await assert.rejects(over(cluster, 'A', 'none'), { code: 'ENODEV' });
  await over(cluster, 'A', 'C');
  assert.throws(() => open(cluster, 'C'), { code: 'EPERM' });
  await cluster.until(cluster.bdevs.delete('C'));
  assert.equal(cluster.bdevs.has('V'), false);
  open(cluster, 'A').close();
  await cluster.close();
});

test('a read is aborted wherever it is, on either disk or waiting for memory; a write is done on both', async () => {
  const { cluster, desc, channel, a, b, done, cb } = await onStubs();
  const buf = cluster.memory(4096);
  const { iobuf } = cluster.reactors[0];
  const { pool } = channel.shared.manager;
  const ended = (...expected: string[]): void => {
    cluster.turns();
    assert.deepEqual(done.splice(0), expected);
    assert.deepEqual([a.outstanding.length, b.outstanding.length], [0, 0]);
    assert.equal(difference(cluster), '');
  };
  channel.read(buf, 0, 0, 512, cb, 'on first');
  assert.equal(channel.abort('on first'), 1);
  ended('on first -125');
  channel.read(buf, 0, 0, 512, cb, 'on other');
  a.complete(1);
  assert.equal(b.outstanding.length, 1);
  assert.equal(channel.abort('on other'), 1);
  ended('on other -125');
  // The disk cannot stop it any more: it ends when it is done.
  a.abortable = false;
  channel.read(buf, 0, 0, 512, cb, 'not stopped');
  assert.equal(channel.abort('not stopped'), 1);
  cluster.turns();
  assert.deepEqual(done, []);
  a.complete(1);
  ended('not stopped -125');
  a.abortable = true;
  const taken = takeLargeBuffers(iobuf);
  channel.read(buf, 0, 0, 512, cb, 'waits for a buffer');
  a.complete(1);
  assert.deepEqual([a.outstanding.length, b.outstanding.length], [0, 0]);
  assert.equal(channel.abort('waits for a buffer'), 1);
  ended('waits for a buffer -125');
  // One that has got its buffer, and is read into it.
  channel.read(buf, 0, 0, 512, cb, 'has waited');
  a.complete(1);
  for (const one of taken) iobuf.put(one);
  assert.equal(b.outstanding.length, 1);
  assert.equal(channel.abort('has waited'), 1);
  ended('has waited -125');
  // All BdevIos but the one of the verify disk's own are taken.
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 1, bdev_io_cache_size: 1 }));
  const giveBack = takeBdevIos(pool, 1);
  channel.read(buf, 0, 0, 512, cb, 'waits for an I/O');
  assert.equal(pool.waiting, 1);
  assert.equal(channel.abort('waits for an I/O'), 1);
  assert.equal(pool.waiting, 0);
  giveBack();
  ended('waits for an I/O -125');
  channel.write(buf, 0, 0, 512, cb, 'w');
  assert.equal(channel.abort('w'), 0);
  a.complete(1);
  b.complete(1);
  ended('w 0');
  desc.close();
  await cluster.close();
});

test('what is aborted below by a reset that is not this disk’s is done again, and is no difference', async () => {
  const { cluster, desc, channel, a, b, done, cb } = await onStubs();
  const buf = cluster.memory(4096);
  channel.write(buf, 0, 0, 512, cb, 'w');
  a.complete(1, -125);
  await cluster.untilTrue(() => a.outstanding.length === 1);
  assert.equal(b.outstanding.length, 0);
  a.complete(1);
  b.complete(1, -125);
  await cluster.untilTrue(() => b.outstanding.length === 1);
  b.complete(1);
  channel.read(buf, 0, 0, 512, cb, 'r');
  a.complete(1, -125);
  // An abort in between is one of the whole.
  assert.equal(channel.abort('r'), 1);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done, ['w 0', 'r -125']);
  assert.equal(difference(cluster), '');
  desc.close();
  await cluster.close();
});

test('a reset, from whatever core, ends reads and resets both disks', async () => {
  const { cluster, desc, done, cb } = await onStubs(2);
  // The home core's own channel and the one for what is carried are two, of one channel below each.
  const resets = (name: string) => (stubs.channels.get(name) ?? []).reduce((sum, each) => sum + each.resets, 0);
  const buf = cluster.memory(4096);
  for (const core of [0, 1]) {
    const other = cluster.on(core, () => BdevDesc.open('V', { write: true, onEvent: () => {} }));
    const there = cluster.on(core, () => other.getIoChannel());
    const before = ['A', 'B'].map(resets);
    there.read(buf, 0, 0, 512, cb, core);
    there.reset(cb, 'reset');
    await cluster.untilTrue(() => done.length === 2);
    assert.deepEqual(done.splice(0), [`${core} -125`, 'reset 0']);
    assert.ok(
      ['A', 'B'].every((name, i) => resets(name) > before[i]),
      `core ${core}: both disks were reset`,
    );
    cluster.on(core, () => other.close());
  }
  assert.equal(difference(cluster), '');
  desc.close();
  await cluster.close();
});

test('what one of the two takes in whole units alone is asked so of both; the rest is refused, and no difference', async () => {
  const [a, b] = ['unit-a', 'unit-b'];
  const cluster = await startCluster({ reactors: 2 });
  const inUnits = (writeUnitBlocks: number) => ({ limits: { writeUnitBlocks, splitOnWriteUnit: true } });
  await make(cluster, { name: a, ...inUnits(4) });
  await make(cluster, { name: b, ...inUnits(6) });
  await malloc(cluster, 'M', 1024);
  for (const [first, other, unit] of [
    [a, 'M', 4],
    ['M', a, 4],
    [a, b, 12],
    ['M', b, 6],
  ] as const) {
    await over(cluster, first, other);
    const bdev = cluster.bdevs.get('V');
    assert.equal(bdev.limits.writeUnitBlocks, unit);
    const desc = open(cluster, 'V');
    const channel = channelOf(cluster, desc);
    const buf = cluster.memory(512 * 24);
    assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 0, 512, cb, null)), -22);
    assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 512, unit * 512, cb, null)), -22);
    const statuses: number[] = [];
    channel.write(buf, 0, unit * 512, 2 * unit * 512, (_, status) => void statuses.push(status), null);
    await cluster.untilTrue(() => {
      for (const name of [a, b]) for (const each of stubs.channels.get(name) ?? []) each.complete(9);
      return statuses.length === 1;
    });
    assert.deepEqual(statuses, [0]);
    assert.equal(difference(cluster), '');
    desc.close();
    await cluster.until(cluster.bdevs.delete('V'));
  }
  await cluster.close();
});

test('a hole is where both have one', async () => {
  const { cluster, desc, channel } = await pair(1, 4096);
  // Beside the verify disk, each has data of its own.
  const allocated = {
    A: [
      [0, 128],
      [1024, 1152],
    ],
    B: [
      [256, 384],
      [1024, 1280],
    ],
  } as const;
  for (const name of ['A', 'B'] as const) {
    const { backend } = cluster.bdevs.get(name).channels.values().next().value as ThreadChannel;
    backend.blockStatus = (at, bytes, out) => {
      const ranges = allocated[name].map(([from, to]) => [from * 512, to * 512]);
      for (let done = 0; done < bytes; ) {
        const from = at + done;
        const inside = ranges.find(([start, end]) => from >= start && from < end);
        const next = inside?.[1] ?? Math.min(...ranges.map(([start]) => (start > from ? start : 4096 * 512)));
        const length = Math.min(next - from, bytes - done);
        if (!out.push(length, inside === undefined ? EXTENT_HOLE | EXTENT_ZERO : 0)) break;
        done += length;
      }
      return 0;
    };
  }
  const seen = (capacity: number): [number, number][] => {
    const out = new Extents(capacity);
    assert.equal(channel.blockStatus(0, 4096 * 512, out), 0);
    return Array.from({ length: out.count }, (_, i) => [out.bytes[i] / 512, out.flags[i]]);
  };
  const hole = EXTENT_HOLE | EXTENT_ZERO;
  const all: [number, number][] = [
    [128, 0],
    [128, hole],
    [128, 0],
    [640, hole],
    [256, 0],
    [2816, hole],
  ];
  assert.deepEqual(seen(10), all);
  assert.deepEqual(seen(2), all.slice(0, 2));
  desc.close();
  await cluster.close();
});

test('it grows when both of its disks have', async () => {
  const cluster = await startCluster({ reactors: 2 });
  for (const name of ['A', 'B']) await make(cluster, { name, blocks: 64 });
  await over(cluster, 'A', 'B');
  const events: string[] = [];
  const desc = open(cluster, 'V', false, events);
  const size = (name: string, blocks: number) => cluster.until(cluster.bdevs.resize(name, blocks));
  await size('A', 128);
  cluster.turns();
  assert.deepEqual([cluster.bdevs.get('V').blocks, events], [64, []]);
  await size('B', 96);
  await cluster.untilTrue(() => events.length > 0);
  assert.equal(cluster.bdevs.get('V').blocks, 96);
  desc.close();
  await cluster.close();
});
