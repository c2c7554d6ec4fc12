/**
 * I/Os in pieces. Checklist: SPDK's bdev_ut, spans_split, boundary_split, max_size_and_segment_split, mix_split, split_with_io_wait, write_unit_split, bdev_copy_split, unmap
 * and write zeroes with a limit; titles carry their names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import {
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_FLAG_EMULATED,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
} from './io-type.ts';
import type { BdevLimits } from './module.ts';
import { runIo, setUp } from './stub-setup.sim.ts';

const BLOCK = 512;
const PIECES_MAX = 40;

interface Shape {
  readonly wants: Partial<BdevLimits>;
  readonly type: 'read' | 'write';
  readonly lba: number;
  /** Bytes of memory pieces; their sum is cut to whole blocks. */
  readonly pieces: readonly number[];
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  wants: fc.record({
    optimalIoBoundaryBlocks: fc.constantFrom(0, 1, 8, 10, 64),
    splitOnOptimalIoBoundary: fc.boolean(),
    maxRwBlocks: fc.constantFrom(0, 1, 3, 16),
    maxSegments: fc.constantFrom(0, 1, 2, 5),
    maxSegmentBytes: fc.constantFrom(0, 512, 700, 4096),
  }),
  type: fc.constantFrom('read' as const, 'write' as const),
  lba: fc.nat(100),
  pieces: fc.array(fc.constantFrom(1, 100, 255, 257, 511, 512, 513, 1024, 1536, 4096, 8192), {
    minLength: 1,
    maxLength: PIECES_MAX - 1,
  }),
});

/** Memory of the given pieces with a gap after each, and as much more as makes it whole blocks. */
function memoryOf(segment: Parameters<IoVecs['push']>[0], pieces: readonly number[]): IoVecs {
  const iovs = new IoVecs(PIECES_MAX);
  let at = 0;
  const push = (bytes: number): void => {
    iovs.push(segment, at, bytes);
    at += bytes + 3;
  };
  for (const bytes of pieces) push(bytes);
  const over = iovs.totalBytes % BLOCK;
  if (over > 0) push(BLOCK - over);
  return iovs;
}

/** The place in memory of every byte. */
function places(iovs: IoVecs): number[] {
  return Array.from({ length: iovs.count }, (_, i) =>
    Array.from({ length: iovs.bytes[i] }, (_unused, k) => iovs.offset[i] + k),
  ).flat();
}

test('spans_split, boundary_split, max_size_and_segment_split, mix_split: pieces keep to what the disk wants and make up the whole', async () => {
  await fc.assert(
    fc.asyncProperty(shapes, async ({ wants, type, lba, pieces }) => {
      const { cluster, channel, stub, desc, tearDown } = await setUp({ blocks: 4096, limits: wants });
      const segment = cluster.memory(1 << 20);
      const iovs = memoryOf(segment, pieces);
      const whole = places(iovs);
      const { split } = desc.bdev;
      const done: number[] = [];
      const cb = (_: unknown, status: number) => void done.push(status);
      const at = lba * BLOCK;
      assert.equal(type === 'read' ? channel.readv(iovs, at, cb, 0) : channel.writev(iovs, at, cb, 0, 1), 0);
      let next = at;
      const seen: number[] = [];
      while (stub.outstanding.length > 0) {
        assert.ok(stub.outstanding.length <= 32);
        for (const io of stub.outstanding) {
          assert.equal(io.byteOffset, next, 'in order');
          assert.equal(io.bytes, io.iovs.totalBytes);
          assert.ok(io.bytes > 0 && io.bytes % BLOCK === 0);
          assert.deepEqual([io.type, io.flags], type === 'read' ? [IO_READ, 0] : [IO_WRITE, 1]);
          assert.ok(io.bytes <= split.rwBytesMax && io.iovs.count <= split.segmentsMax);
          for (let i = 0; i < io.iovs.count; i++) {
            assert.ok(io.iovs.bytes[i] > 0 && io.iovs.bytes[i] <= split.segmentBytesMax);
          }
          const boundary = split.readBoundary;
          const last = io.byteOffset + io.bytes - 1;
          if (boundary < 2 ** 50) assert.equal(Math.floor(io.byteOffset / boundary), Math.floor(last / boundary));
          if (io.iovs.segment[0] === segment) seen.push(...places(io.iovs));
          else {
            // Through a buffer: alignment.test.ts looks at what it holds.
            const its = whole.slice(next - at, next - at + io.bytes);
            assert.ok(
              io.bytes === BLOCK && its.filter((place, i) => place !== its[i - 1] + 1).length > split.segmentsMax,
            );
            seen.push(...its);
          }
          next += io.bytes;
        }
        stub.complete(stub.outstanding.length);
        cluster.turns();
      }
      cluster.turns();
      assert.equal(done.length, 1);
      assert.equal(done[0], 0);
      assert.deepEqual(seen, whole);
      await tearDown();
    }),
    { numRuns: 100 },
  );
});

test('a split I/O is one for its owner and several for the counters; the first failure ends it', async () => {
  const { cluster, channel, stub, buf, done, cb, desc, tearDown } = await setUp({ limits: { maxRwBlocks: 1 } });
  assert.equal(channel.read(buf, 0, 0, 64 * BLOCK, cb, 'r'), 0);
  assert.equal(stub.outstanding.length, 32, 'as many at once as limits say');
  stub.complete(1);
  cluster.turns();
  assert.equal(stub.outstanding.length, 32, 'the next follows');
  stub.complete(1, -5);
  assert.equal(stub.outstanding.length, 31, 'none follows a failure');
  cluster.turns();
  assert.deepEqual(done, []);
  stub.complete(31);
  cluster.turns();
  assert.deepEqual(done, ['r -5']);
  const [{ stat }] = await cluster.until(cluster.bdevs.stat(['S']));
  assert.equal(stat.toJson().num_read_ops, 32);
  assert.deepEqual(stat.toJson().io_error, { failed: 1 });
  assert.equal(desc.bdev.manager.pool.used, 0);
  await tearDown();
});

test('split_with_io_wait: pieces wait for memory of the module and for I/Os of the pool', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({ limits: { maxRwBlocks: 1 } });
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 4, bdev_io_cache_size: 1 }));
  stub.depth = 2;
  assert.equal(channel.write(buf, 0, 0, 10 * BLOCK, cb, 'w'), 0);
  let offsets: number[] = [];
  while (done.length === 0) {
    assert.ok(stub.outstanding.length > 0 && stub.outstanding.length <= 2);
    offsets = [...offsets, ...stub.outstanding.map((io) => io.byteOffset / BLOCK)];
    stub.complete(stub.outstanding.length);
    await cluster.untilTrue(() => stub.outstanding.length > 0 || done.length > 0);
  }
  assert.deepEqual(offsets, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(done, ['w 0']);
  await tearDown();
});

test('what the layer carries out does not count when the module is asked again: it may wait for what waits', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({ limits: { maxRwBlocks: 4 } });
  stub.depth = 1;
  // Each is one I/O of the layer, whose read is one of the layer again, in two pieces: four times as many under way as the module has.
  for (let i = 0; i < 10; i++) {
    const iovs = new IoVecs(1);
    iovs.push(buf, i * 4096, 8 * BLOCK);
    assert.equal(channel.comparev(iovs, 0, cb, i), 0);
  }
  while (done.length < 10) {
    await cluster.untilTrue(() => stub.outstanding.length > 0 || done.length === 10);
    stub.complete(stub.outstanding.length);
    cluster.turns();
    assert.ok(stub.outstanding.length > 0 || done.length === 10, 'the next one is with the module at once');
  }
  assert.equal(done.filter((each) => each.endsWith(' 0')).length, 10);
  await tearDown();
});

test('write_unit_split: each unit is a write, and what is no whole unit is refused', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({
    limits: { writeUnitBlocks: 4, splitOnWriteUnit: true },
  });
  assert.equal(channel.write(buf, 0, 8 * BLOCK, 12 * BLOCK, cb, 'w'), 0);
  assert.deepEqual(
    stub.outstanding.map((io) => [io.byteOffset / BLOCK, io.bytes / BLOCK]),
    [
      [8, 4],
      [12, 4],
      [16, 4],
    ],
  );
  stub.complete(3);
  assert.equal(channel.write(buf, 0, 8 * BLOCK, 3 * BLOCK, cb, 'short'), 0);
  assert.equal(channel.write(buf, 0, 6 * BLOCK, 4 * BLOCK, cb, 'askew'), 0);
  assert.equal(done.length, 1, 'never from inside the call');
  assert.equal(channel.read(buf, 0, 6 * BLOCK, 9 * BLOCK, cb, 'r'), 0);
  assert.equal(stub.outstanding.length, 1, 'reads are not concerned');
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done.sort(), ['askew -22', 'r 0', 'short -22', 'w 0']);
  await tearDown();
});

test('bdev_unmap, bdev_write_zeroes_unmap, bdev_set_max_unmap: ranges without data are split, too', async () => {
  const { cluster, channel, stub, done, cb, tearDown } = await setUp({
    limits: { maxUnmapBlocks: 100, maxWriteZeroesBlocks: 7 },
  });
  assert.equal(channel.unmap(0, 250 * BLOCK, cb, 'u'), 0);
  assert.deepEqual(
    stub.outstanding.map((io) => [io.type, io.byteOffset / BLOCK, io.bytes / BLOCK]),
    [
      [IO_UNMAP, 0, 100],
      [IO_UNMAP, 100, 100],
      [IO_UNMAP, 200, 50],
    ],
  );
  stub.complete(3);
  assert.equal(channel.writeZeroes(BLOCK, 15 * BLOCK, 2, cb, 'z'), 0);
  assert.deepEqual(
    stub.outstanding.map((io) => [io.type, io.byteOffset / BLOCK, io.bytes / BLOCK, io.flags]),
    [
      [IO_WRITE_ZEROES, 1, 7, 2],
      [IO_WRITE_ZEROES, 8, 7, 2],
      [IO_WRITE_ZEROES, 15, 1, 2],
    ],
  );
  stub.complete(3);
  cluster.turns();
  assert.deepEqual(done, ['u 0', 'z 0']);
  await tearDown();
});

test('bdev_copy_split_test: copies of a disk that has its own keep to its limit; the first failure ends one', async () => {
  const { cluster, desc, channel, stub, done, cb, tearDown } = await setUp({
    ioTypes: ioTypes(IO_READ, IO_WRITE, IO_COPY),
    limits: { maxCopyBlocks: 10 },
  });
  const copy = (blocks: number, name: string) => channel.copy(5 * BLOCK, 500 * BLOCK, blocks * BLOCK, cb, name);
  const pieces = () =>
    stub.outstanding.map((io) => [io.type, io.byteOffset / BLOCK, io.sourceOffset / BLOCK, io.bytes / BLOCK]);
  assert.equal(copy(10, 'whole'), 0);
  assert.deepEqual(pieces(), [[IO_COPY, 5, 500, 10]]);
  stub.complete(1);
  assert.equal(copy(25, 'split'), 0);
  assert.deepEqual(pieces(), [
    [IO_COPY, 5, 500, 10],
    [IO_COPY, 15, 510, 10],
    [IO_COPY, 25, 520, 5],
  ]);
  stub.complete(3);
  cluster.turns();
  assert.equal(copy(400, 'bad'), 0);
  assert.equal(stub.outstanding.length, 32);
  stub.complete(1, -5);
  stub.complete(31);
  cluster.turns();
  assert.equal(stub.outstanding.length, 0, 'nothing more is begun');
  assert.deepEqual(done, ['whole 0', 'split 0', 'bad -5']);
  const [{ stat }] = await cluster.until(cluster.bdevs.stat(['S']));
  const { num_copy_ops, bytes_copied, num_read_ops } = stat.toJson();
  assert.deepEqual([num_copy_ops, bytes_copied, num_read_ops], [35, (35 + 310) * BLOCK, 0]);
  assert.equal(desc.bdev.ioTypeSupported(IO_COPY), true);
  await tearDown();
});

test('emulated zeroes keep to the limits of writes', async () => {
  const { cluster, channel, stub, done, cb, tearDown } = await setUp({
    ioTypes: ioTypes(IO_READ, IO_WRITE),
    limits: { maxRwBlocks: 8 },
  });
  assert.equal(channel.writeZeroes(0, 20 * BLOCK, 0, cb, 'z'), 0);
  assert.deepEqual(
    stub.outstanding.map((io) => [io.type, io.bytes / BLOCK, io.flags & IO_FLAG_EMULATED]),
    [
      [IO_WRITE, 8, 0],
      [IO_WRITE, 8, 0],
      [IO_WRITE, 4, 0],
    ],
  );
  stub.complete(3);
  cluster.turns();
  assert.deepEqual(done, ['z 0']);
  await tearDown();
});

test('zeroes and copies that the layer makes are writes of whole blocks, and of whole write units', async () => {
  for (const [blockSizeBytes, writeUnitBlocks] of [
    [1536, 0],
    [512, 256],
    [512, 384],
    [512, 5000],
  ]) {
    const { cluster, bdev, channel, stub, tearDown } = await setUp({
      blockSizeBytes,
      blocks: 65536,
      ioTypes: ioTypes(IO_READ, IO_WRITE),
      limits: { writeUnitBlocks, splitOnWriteUnit: writeUnitBlocks > 0 },
    });
    const unit = blockSizeBytes * Math.max(1, writeUnitBlocks);
    const bytes = unit * (Math.floor(2 ** 21 / unit) + 2);
    const disk = Buffer.alloc(2 * bytes);
    for (let i = 0; i < bytes; i += 4) disk.writeInt32LE(i, bytes + i);
    stub.submit = (io) => {
      assert.equal(io.bytes % (io.type === IO_WRITE ? unit : blockSizeBytes), 0, `${io.type} of ${io.bytes}`);
      let at = io.byteOffset;
      for (let i = 0; i < io.iovs.count; i++) {
        const memory = io.iovs.segment[i]?.u8.subarray(io.iovs.offset[i], io.iovs.offset[i] + io.iovs.bytes[i]);
        if (memory === undefined) continue;
        if (io.type === IO_READ) memory.set(disk.subarray(at, at + memory.length));
        else disk.set(memory, at);
        at += memory.length;
      }
      io.complete(0);
    };
    // A copy has to go through one buffer.
    const copies = unit <= cluster.reactors[0].iobuf.largeBytes;
    assert.equal(bdev.ioTypeSupported(IO_COPY), copies);
    const copied = await runIo(cluster, (cb) => channel.copy(0, bytes, bytes, cb, null));
    assert.equal(copied, copies ? 0 : -95);
    if (copies) assert.equal(disk.compare(disk, 0, bytes, bytes), 0);
    assert.equal(await runIo(cluster, (cb) => channel.writeZeroes(bytes, bytes, 0, cb, null)), 0);
    assert.ok(disk.subarray(bytes).every((byte) => byte === 0));
    await tearDown();
  }
});

test('reset, abort and removal end a split I/O with all its pieces', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({ limits: { maxRwBlocks: 1 } });
  assert.equal(channel.read(buf, 0, 0, 40 * BLOCK, cb, 'a'), 0);
  assert.equal(channel.abort('a'), 1);
  cluster.turns();
  assert.deepEqual(done.splice(0), ['a -125']);
  assert.equal(channel.read(buf, 0, 0, 40 * BLOCK, cb, 'b'), 0);
  assert.equal(channel.reset(cb, 'reset'), 0);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done.splice(0), ['b -125', 'reset 0']);
  assert.equal(stub.outstanding.length, 0);
  await tearDown();
});

test('an abort ends also the pieces that wait for the module’s memory', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({ limits: { maxRwBlocks: 2 } });
  stub.depth = 1;
  stub.abortable = false;
  assert.equal(channel.read(buf, 0, 0, 6 * BLOCK, cb, 'a'), 0);
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'behind'), 0);
  assert.deepEqual([stub.outstanding.length, channel.shared.queued], [1, 3]);
  assert.equal(channel.abort('a'), 1);
  cluster.turns();
  assert.equal(channel.shared.queued, 1);
  stub.complete(1);
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  assert.deepEqual(done, ['a -125']);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['a -125', 'behind 0']);
  await tearDown();
});
test('an abort begins no more pieces, though those under way cannot be aborted; the next I/O knows nothing of it', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({ limits: { maxRwBlocks: 1 } });
  const blocks = limits.bdev_split_children + 4;
  channel.write(buf, 0, 0, blocks * BLOCK, cb, 'w');
  assert.equal(stub.outstanding.length, limits.bdev_split_children);
  stub.abortable = false;
  assert.equal(channel.abort('w'), 1);
  stub.complete(limits.bdev_split_children);
  cluster.turns();
  assert.deepEqual([done, stub.outstanding.length], [['w -125'], 0]);
  channel.write(buf, 0, 0, 2 * BLOCK, cb, 'x');
  stub.complete(2);
  channel.write(buf, 0, 0, 2 * BLOCK, cb, 'y');
  stub.complete(2, -5);
  channel.write(buf, 0, 0, 2 * BLOCK, cb, 'z');
  stub.complete(2);
  cluster.turns();
  assert.deepEqual(done.splice(1), ['x 0', 'y -5', 'z 0']);
  // What can be ends at once, and its submitter hears of it later.
  stub.abortable = true;
  channel.write(buf, 0, 0, 2 * BLOCK, cb, 'v');
  assert.equal(channel.abort('v'), 1);
  assert.deepEqual([done.length, stub.outstanding.length], [1, 0]);
  cluster.turns();
  assert.deepEqual(done.slice(1), ['v -125']);
  await tearDown();
});

test('bdev_copy_split: copies that the disk makes itself are no longer than it takes, each from its own place; and they are counted', async () => {
  const { channel, stub, done, cb, cluster, tearDown } = await setUp({
    ioTypes: ioTypes(IO_READ, IO_WRITE, IO_COPY),
    limits: { maxCopyBlocks: 8, maxRwBlocks: 1 },
  });
  assert.equal(channel.copy(100 * BLOCK, 0, 20 * BLOCK, cb, 'copy'), 0);
  const copies = stub.outstanding.map((io) => [
    io.type,
    io.sourceOffset / BLOCK,
    io.byteOffset / BLOCK,
    io.bytes / BLOCK,
  ]);
  assert.deepEqual(copies, [
    [IO_COPY, 0, 100, 8],
    [IO_COPY, 8, 108, 8],
    [IO_COPY, 16, 116, 4],
  ]);
  stub.complete(3);
  assert.equal(channel.copy(0, 100 * BLOCK, 8 * BLOCK, cb, 'as it is'), 0);
  assert.deepEqual([stub.outstanding.length, stub.outstanding[0].flags & IO_FLAG_EMULATED], [1, 0]);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['copy 0', 'as it is 0']);
  const { ops, bytes } = channel.shared.stat.counts('copy');
  assert.deepEqual([ops, bytes], [4, 28 * BLOCK]);
  await tearDown();
});

test('compares that the disk makes itself keep to its limits, and the first difference is the answer', async () => {
  const { cluster, channel, stub, done, cb, buf, tearDown } = await setUp({
    ioTypes: ioTypes(IO_READ, IO_WRITE, IO_COMPARE),
    limits: { optimalIoBoundaryBlocks: 8, splitOnOptimalIoBoundary: true, maxSegments: 1 },
  });
  const iovs = new IoVecs(2);
  iovs.push(buf, 0, 2 * BLOCK);
  iovs.push(buf, 8192, 10 * BLOCK);
  for (const differs of [false, true]) {
    assert.equal(channel.comparev(iovs, 4 * BLOCK, cb, differs), 0);
    assert.deepEqual(
      stub.outstanding.map((io) => [io.type, io.byteOffset / BLOCK, io.bytes / BLOCK, io.iovs.offset[0]]),
      [
        [IO_COMPARE, 4, 2, 0],
        [IO_COMPARE, 6, 2, 8192],
        [IO_COMPARE, 8, 8, 8192 + 2 * BLOCK],
      ],
    );
    stub.complete(1);
    stub.complete(1, differs ? -84 : 0);
    stub.complete(1);
    cluster.turns();
  }
  assert.deepEqual(done, ['false 0', 'true -84']);
  await tearDown();
});

test('a disk’s own compare-and-write is used where it has no limits, else the layer’s: in pieces it would not be one step', async () => {
  for (const limited of [false, true]) {
    const { cluster, channel, stub, done, cb, buf, tearDown } = await setUp({
      ioTypes: ioTypes(IO_READ, IO_WRITE, IO_COMPARE_AND_WRITE),
      limits: limited ? { maxSegments: 4 } : {},
    });
    const iovs = new IoVecs(1);
    iovs.push(buf, 0, BLOCK);
    assert.equal(channel.comparevAndWritev(iovs, iovs, 0, cb, 'caw'), 0);
    await cluster.untilTrue(() => stub.outstanding.length === 1);
    assert.equal(stub.outstanding[0].type, limited ? IO_READ : IO_COMPARE_AND_WRITE);
    stub.complete(1);
    if (limited) {
      await cluster.untilTrue(() => stub.outstanding.length === 1);
      assert.equal(stub.outstanding[0].type, IO_WRITE);
      stub.complete(1);
    }
    await cluster.untilTrue(() => done.length === 1);
    assert.deepEqual(done, ['caw 0']);
    await tearDown();
  }
});
