/**
 * A disk at rest. Checklist: SPDK's bdev_quiesce of bdev_ut, whose steps titles name; and what is not SPDK's: rest that belongs to a descriptor.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { IoVecs } from '../env/iovecs.ts';
import '../module/bdev/malloc/malloc-bdev.ts';
import { startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { IO_COMPARE_AND_WRITE, IO_FLUSH, IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import type { Quiesced } from './quiesce.ts';
import { onCores, runIo } from './stub-setup.sim.ts';

const BLOCK = 512;

/** A disk on two reactors, with a channel on each. */
const disk = (types = ioTypes(IO_READ, IO_WRITE, IO_FLUSH)) => onCores({ reactors: 2 }, { blocks: 64, ioTypes: types });

/** Rounds that would have told of it. */
function idle(cluster: { round(): number }): void {
  for (let i = 0; i < 50; i++) cluster.round();
}

test('bdev_quiesce: it waits for what is under way on every core, and holds reads, writes and flushes back until it ends', async () => {
  const { cluster, cores, done: log, cb, buf, close } = await disk();
  const [a, b] = cores;
  assert.equal(b.channel.read(buf, 0, 0, BLOCK, cb, 'before'), 0);
  const asked = a.desc.quiesce().then((quiesced) => {
    log.push('quiesced');
    return quiesced;
  });
  idle(cluster);
  assert.equal(b.channel.read(buf, 0, 8 * BLOCK, BLOCK, cb, 'read'), 0);
  assert.equal(a.channel.write(buf, 0, 63 * BLOCK, BLOCK, cb, 'own write'), 0);
  assert.equal(b.channel.flush(0, 64 * BLOCK, cb, 'flush'), 0);
  idle(cluster);
  assert.deepEqual(log, []);
  b.stub.complete(1);
  const quiesced = await cluster.until(asked);
  idle(cluster);
  assert.deepEqual([log, a.stub.outstanding.length, b.stub.outstanding.length], [['before 0', 'quiesced'], 0, 0]);
  const lifted = quiesced.unquiesce();
  assert.equal(quiesced.unquiesce(), lifted, 'twice is once');
  await cluster.until(lifted);
  assert.equal(a.stub.outstanding.length + b.stub.outstanding.length, 3);
  a.stub.complete(1);
  b.stub.complete(2);
  cluster.turns();
  assert.deepEqual(log.slice(2).sort(), ['flush 0', 'own write 0', 'read 0']);
  assert.equal(a.channel.shared.gates, null);
  await close();
});

test('it waits for a compare-and-write that the disk makes itself, and not for one of the layer that waits for it', async () => {
  for (const own of [true, false]) {
    const types = ioTypes(IO_READ, IO_WRITE) | (own ? 1 << IO_COMPARE_AND_WRITE : 0);
    const { cluster, cores, done: log, cb, buf, close } = await disk(types);
    const [a, b] = cores;
    const iovs = new IoVecs(1);
    iovs.push(buf, 0, BLOCK);
    if (own) assert.equal(b.channel.comparevAndWritev(iovs, iovs, 0, cb, 'caw'), 0);
    const asked = a.desc.quiesce();
    if (!own) assert.equal(b.channel.comparevAndWritev(iovs, iovs, 0, cb, 'caw'), 0);
    let at = 'under way';
    void asked.then(() => {
      at = 'at rest';
    });
    idle(cluster);
    await cluster.until(Promise.resolve());
    if (own) {
      assert.equal(at, 'under way');
      b.stub.complete(1);
    }
    const quiesced = await cluster.until(asked);
    await cluster.until(quiesced.unquiesce());
    for (let i = 0; !own && i < 2; i++) {
      await cluster.untilTrue(() => b.stub.outstanding.length > 0);
      b.stub.complete(1);
    }
    await cluster.untilTrue(() => log.length === 1);
    assert.deepEqual(log, ['caw 0']);
    await close();
  }
});

test('bdev_quiesce: a range alone, and what overlaps it in turn', async () => {
  const { cluster, cores, done: log, cb, buf, close } = await disk();
  const [a, b] = cores;
  const range = { byteOffset: 8 * BLOCK, bytes: 8 * BLOCK };
  const first = await cluster.until(a.desc.quiesce(range));
  assert.equal(b.channel.read(buf, 0, 15 * BLOCK, BLOCK, cb, 'inside'), 0);
  assert.equal(b.channel.read(buf, 0, 7 * BLOCK, BLOCK, cb, 'in front'), 0);
  assert.equal(b.channel.read(buf, 0, 16 * BLOCK, BLOCK, cb, 'behind'), 0);
  b.stub.complete(b.stub.outstanding.length);
  cluster.turns();
  assert.deepEqual(log, ['in front 0', 'behind 0']);
  let second: Quiesced | null = null;
  const asked = b.desc.quiesce().then((quiesced) => {
    second = quiesced;
  });
  idle(cluster);
  await cluster.until(Promise.resolve());
  assert.equal(second, null);
  await cluster.until(first.unquiesce());
  await cluster.untilTrue(() => b.stub.outstanding.length === 1);
  b.stub.complete(1);
  await cluster.until(asked);
  assert.deepEqual(log.slice(2), ['inside 0']);
  await cluster.until((second as unknown as Quiesced).unquiesce());
  await close();
});

test('what is refused', async () => {
  const { cluster, cores, close } = await disk();
  const [{ desc }] = cores;
  for (const [byteOffset, bytes] of [
    [-BLOCK, BLOCK],
    [0, 0],
    [0, 65 * BLOCK],
    [1, BLOCK],
    [0, BLOCK + 1],
    [Number.NaN, BLOCK],
  ]) {
    await assert.rejects(desc.quiesce({ byteOffset, bytes }), { code: 'EINVAL', message: /"S": .* of 32768 bytes/ });
  }
  const { heap } = cluster.reactors[0];
  const { alloc } = heap;
  heap.alloc = () => {
    throw new SpdkError('ENOMEM', 'full');
  };
  await assert.rejects(cluster.until(desc.quiesce()), { code: 'ENOMEM', message: /"S" cannot be quiesced/ });
  heap.alloc = alloc;
  desc.close();
  await assert.rejects(desc.quiesce(), { code: 'EBADF' });
  await close();
});

test('bdev_quiesce: a disk that is removed while quiesced ends what waits, and goes; also while it is let go', async () => {
  for (const when of ['held', 'being let go', 'asked for'] as const) {
    const { cluster, cores, done: log, cb, buf, close } = await disk();
    const [a, b] = cores;
    // Not to be at rest before the removal.
    if (when === 'asked for') assert.equal(b.channel.read(buf, 0, 0, BLOCK, cb, 'under way'), 0);
    const asked = a.desc.quiesce();
    if (when === 'asked for') {
      idle(cluster);
      const refused = assert.rejects(asked, { code: 'EBADF' });
      const gone = cluster.bdevs.delete('S');
      for (let i = 0; i < 20; i++) await cluster.until(Promise.resolve());
      b.stub.complete(1);
      await cluster.until(gone);
      await cluster.until(refused);
      assert.deepEqual(log, ['under way -19']);
    } else {
      const quiesced = await cluster.until(asked);
      assert.equal(b.channel.write(buf, 0, 0, BLOCK, cb, 'waits'), 0);
      if (when === 'being let go') void quiesced.unquiesce();
      const gone = cluster.bdevs.delete('S');
      if (when === 'being let go') {
        await cluster.untilTrue(() => b.stub.outstanding.length > 0 || log.length > 0);
        b.stub.complete(b.stub.outstanding.length);
      }
      await cluster.until(gone);
      await cluster.until(quiesced.unquiesce());
      assert.deepEqual(log, ['waits -19']);
    }
    await assert.rejects(a.desc.quiesce(), { code: 'EBADF' });
    // That nothing of the lock is left the end of the cluster looks at.
    await close();
  }
});

test('a descriptor that is closed lets go of what it has quiesced', async () => {
  const { cluster, cores, done: log, cb, buf, close } = await disk();
  const [a, b] = cores;
  await cluster.until(a.desc.quiesce({ byteOffset: 0, bytes: BLOCK }));
  await cluster.until(a.desc.quiesce({ byteOffset: BLOCK, bytes: BLOCK }));
  assert.equal(b.channel.write(buf, 0, 0, 2 * BLOCK, cb, 'waits'), 0);
  idle(cluster);
  assert.deepEqual([b.stub.outstanding.length, log], [0, []]);
  a.desc.close();
  await cluster.untilTrue(() => b.stub.outstanding.length === 1);
  b.stub.complete(1);
  cluster.turns();
  assert.deepEqual(log, ['waits 0']);
  await close();
});

test('a disk that grows stays at rest as a whole', async () => {
  const { cluster, cores, done: log, cb, buf, close } = await disk();
  const [a, b] = cores;
  const quiesced = await cluster.until(a.desc.quiesce());
  await cluster.until(cluster.bdevs.resize('S', 128));
  assert.equal(b.channel.read(buf, 0, 100 * BLOCK, BLOCK, cb, 'read'), 0);
  idle(cluster);
  assert.equal(b.stub.outstanding.length, 0);
  await cluster.until(quiesced.unquiesce());
  b.stub.complete(1);
  cluster.turns();
  assert.deepEqual(log, ['read 0']);
  await close();
});

test('memory is not reached in place while it is at rest; of a disk with hidden metadata the range is that of its data', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const params = { name: 'M', block_size: BLOCK, num_blocks: 64 };
  await cluster.until(cluster.bdevs.create('malloc', params));
  await cluster.until(cluster.bdevs.create('malloc', { ...params, name: 'P', md_size: 8, md_interleave: true }));
  for (const [name, hideMetadata] of [
    ['M', false],
    ['P', true],
  ] as const) {
    const desc = cluster.on(1, () => BdevDesc.open(name, { write: true, hideMetadata, onEvent: () => {} }));
    const channel = cluster.on(1, () => desc.getIoChannel());
    const buf = cluster.memory(BLOCK);
    const quiesced = await cluster.until(desc.quiesce({ byteOffset: 63 * BLOCK, bytes: BLOCK }));
    assert.equal(channel.inPlace, false);
    const log: number[] = [];
    assert.equal(
      channel.write(buf, 0, 63 * BLOCK, BLOCK, (_, status) => void log.push(status), null),
      0,
    );
    assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 62 * BLOCK, BLOCK, cb, 0)), 0);
    idle(cluster);
    assert.deepEqual(log, []);
    await cluster.until(quiesced.unquiesce());
    await cluster.untilTrue(() => log.length === 1);
    assert.equal(channel.inPlace, name === 'M');
    desc.close();
  }
  await cluster.close();
});
