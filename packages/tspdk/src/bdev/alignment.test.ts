/** Memory where a disk wants it. Checklist: SPDK's bdev_ut bdev_io_alignment, bdev_io_alignment_with_boundary, bdev_io_ext_bounce_buffer; titles carry their names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { IoBuf } from '../env/iobuf.ts';
import { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import { alignedOffset, type Segment } from '../env/segment.ts';
import type { BdevIo } from './bdev-io.ts';
import { startCluster } from './cluster.sim.ts';
import { IO_COMPARE, IO_COMPARE_AND_WRITE, IO_COPY, IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import { metadataFormat } from './metadata.ts';
import type { BdevLimits } from './module.ts';
import type { StubParams } from './stub-module.sim.ts';
import { make, setUp, takeBdevIos, takeLargeBuffers } from './stub-setup.sim.ts';

const BLOCK = 512;
const addressOf = (io: BdevIo, i = 0): number => (io.iovs.segment[i] as Segment).address + io.iovs.offset[i];

/** Carries out what the stub disk has as a disk would, on `store`; what memory it was given. */
function serve(outstanding: BdevIo[], complete: (n: number) => void, store: Uint8Array): BdevIo['iovs'][] {
  const seen: BdevIo['iovs'][] = [];
  for (const io of outstanding) {
    let at = io.byteOffset;
    for (let i = 0; i < io.iovs.count; i++) {
      const memory = (io.iovs.segment[i] as Segment).u8.subarray(
        io.iovs.offset[i],
        io.iovs.offset[i] + io.iovs.bytes[i],
      );
      const there = store.subarray(at, at + memory.length);
      if (io.type === 1) memory.set(there);
      else there.set(memory);
      at += memory.length;
    }
    seen.push(io.iovs);
  }
  complete(outstanding.length);
  return seen;
}

test('bdev_io_alignment: memory that lies right is passed as it is, other memory by a buffer that does', async () => {
  for (const align of [0, 1, 512, 4096]) {
    const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({
      limits: { requiredAlignmentBytes: align },
    });
    const base = alignedOffset(buf, 4096);
    const places = [
      { at: base, right: true },
      { at: base + 4, right: align < 2 },
      { at: base + 512, right: align < 4096 },
    ];
    for (const { at, right } of places) {
      for (const type of ['read', 'write'] as const) {
        assert.equal(channel[type](buf, at, 0, BLOCK, cb, type), 0);
        assert.equal(stub.outstanding.length, 1);
        const [io] = stub.outstanding;
        assert.equal(addressOf(io) === buf.address + at, right, `${type} of ${at - base}, alignment ${align}`);
        assert.equal(addressOf(io) % Math.max(align, 1), 0);
        assert.deepEqual([io.byteOffset, io.bytes], [0, BLOCK]);
        stub.complete(1);
        cluster.turns();
      }
    }
    // Two pieces, the second of which lies wrong; two that lie right, but the first ends wrong.
    for (const [first, second, right] of [
      [BLOCK, base + 2048 + 4, align < 2],
      [BLOCK + 100, base + 4096, align < 2],
      [BLOCK, base + 4096, align < 4096],
    ] as const) {
      const iovs = new IoVecs(2);
      iovs.push(buf, base, first);
      iovs.push(buf, second, 2 * BLOCK - first);
      assert.equal(channel.writev(iovs, 0, cb, 'writev'), 0);
      assert.equal(stub.outstanding[0].iovs === iovs, right, `${first} bytes, then ${second}, alignment ${align}`);
      stub.complete(1);
      cluster.turns();
    }
    assert.equal(done.length, 9);
    await tearDown();
  }
});

test('bdev_io_alignment_with_boundary: data arrives, whatever the memory and the pieces, and the disk is given what it wants', async () => {
  const shapes = fc.record({
    limits: fc.record({
      requiredAlignmentBytes: fc.constantFrom(1, 512, 4096),
      optimalIoBoundaryBlocks: fc.constantFrom(0, 1, 8, 10),
      splitOnOptimalIoBoundary: fc.boolean(),
      maxRwBlocks: fc.constantFrom(0, 3, 400),
      maxSegments: fc.constantFrom(0, 1, 2),
      maxSegmentBytes: fc.constantFrom(0, 4096, 8192),
    }),
    lba: fc.nat(40),
    pieces: fc.array(fc.constantFrom(1, 100, 512, 1024, 4096, 200_704), { minLength: 1, maxLength: 8 }),
    gap: fc.constantFrom(0, 3, 512),
    type: fc.constantFrom('readv' as const, 'writev' as const),
  });
  await fc.assert(
    fc.asyncProperty(shapes, async ({ limits: wants, lba, pieces, gap, type }) => {
      const { cluster, channel, stub, done, cb, tearDown } = await setUp({ blocks: 8192, limits: wants });
      const buf = cluster.memory(4 * 1024 * 1024);
      const iovs = new IoVecs(16);
      let at = alignedOffset(buf, 4096);
      const push = (bytes: number): void => {
        iovs.push(buf, at, bytes);
        at += bytes + gap;
      };
      for (const bytes of pieces) push(bytes);
      if (iovs.totalBytes % BLOCK > 0) push(BLOCK - (iovs.totalBytes % BLOCK));
      const bytes = iovs.totalBytes;
      const store = new Uint8Array(8192 * BLOCK);
      for (let i = 0; i < store.length; i++) store[i] = i * 7 + (i >> 9);
      for (let i = 0; i < buf.u8.length; i++) buf.u8[i] = i * 3 + (i >> 8);
      const gather = () =>
        Buffer.concat(
          Array.from({ length: iovs.count }, (_, i) => buf.u8.slice(iovs.offset[i], iovs.offset[i] + iovs.bytes[i])),
        );
      const before = gather();
      assert.equal(channel[type](iovs, lba * BLOCK, cb, 'x'), 0);
      while (done.length === 0) {
        for (const io of stub.outstanding) {
          for (let i = 0; i < io.iovs.count; i++) assert.equal(addressOf(io, i) % wants.requiredAlignmentBytes, 0);
          assert.equal(channel.bdev.split.inPieces(io), false);
        }
        serve(stub.outstanding, (n) => stub.complete(n), store);
        cluster.turns();
      }
      assert.deepEqual(done, ['x 0']);
      assert.deepEqual(gather(), Buffer.from(store.subarray(lba * BLOCK, lba * BLOCK + bytes)));
      if (type === 'writev') assert.deepEqual(gather(), before);
      await tearDown();
    }),
    { numRuns: 30 },
  );
});

test('through a buffer in as many segments as the disk takes, none longer: one I/O, and the data arrives', async () => {
  // The last in more than one buffer, of 264 blocks.
  for (const [blocks, maxSegmentBytes, maxSegments, given] of [
    [16, BLOCK, 16, [16]],
    [16, 3 * BLOCK, 16, [6]],
    [64, BLOCK, 64, [64]],
    [300, BLOCK, 0, [264, 36]],
  ] as const) {
    const { cluster, channel, stub, done, cb, tearDown } = await setUp({
      limits: { requiredAlignmentBytes: BLOCK, maxSegmentBytes, maxSegments },
    });
    const buf = cluster.memory(blocks * (BLOCK + 3) + 8192);
    for (let i = 0; i < buf.u8.length; i++) buf.u8[i] = i * 3 + (i >> 8);
    const iovs = new IoVecs(blocks);
    const from = alignedOffset(buf, 4096) + 1;
    for (let i = 0; i < blocks; i++) iovs.push(buf, from + i * (BLOCK + 3), BLOCK);
    const gather = () =>
      Buffer.concat(Array.from({ length: blocks }, (_, i) => buf.u8.slice(iovs.offset[i], iovs.offset[i] + BLOCK)));
    const store = new Uint8Array(1024 * BLOCK);
    const { pool } = channel.shared.manager;
    const run = (name: string): void => {
      for (const pieces of given) {
        assert.deepEqual(
          stub.outstanding.map((io) => io.iovs.count),
          [pieces],
        );
        assert.equal(pool.used, 2, 'its own BdevIo and the one with the disk');
        const [io] = stub.outstanding;
        for (let i = 0; i < io.iovs.count; i++) {
          assert.ok(io.iovs.bytes[i] <= maxSegmentBytes && addressOf(io, i) % BLOCK === 0);
        }
        serve(stub.outstanding, (n) => stub.complete(n), store);
        cluster.turns();
      }
      assert.deepEqual(done.splice(0), [`${name} 0`]);
    };
    const written = gather();
    assert.equal(channel.writev(iovs, 8 * BLOCK, cb, 'w'), 0);
    run('w');
    assert.deepEqual(Buffer.from(store.subarray(8 * BLOCK, (8 + blocks) * BLOCK)), written);
    for (let i = 0; i < store.length; i++) store[i] = i * 7 + (i >> 9);
    assert.equal(channel.readv(iovs, 8 * BLOCK, cb, 'r'), 0);
    run('r');
    assert.deepEqual(gather(), Buffer.from(store.subarray(8 * BLOCK, (8 + blocks) * BLOCK)));
    await tearDown();
  }
});

test('buffers are waited for, and the first failure ends it', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({ limits: { requiredAlignmentBytes: 512 } });
  const at = alignedOffset(buf, 4096) + 1;
  const { iobuf } = cluster.reactors[0];
  const taken = takeLargeBuffers(iobuf);
  assert.equal(channel.read(buf, at, 0, BLOCK, cb, 'r'), 0);
  cluster.turns();
  assert.equal(stub.outstanding.length, 0);
  for (const each of taken) iobuf.put(each);
  cluster.turns();
  assert.equal(stub.outstanding.length, 1);
  stub.complete(1, -5);
  cluster.turns();
  assert.deepEqual(done, ['r -5']);
  await tearDown();
});

test('a BdevIo is waited for, each time', async () => {
  const { cluster, channel, stub, done, cb, tearDown } = await setUp({
    blocks: 4096,
    limits: { requiredAlignmentBytes: 512 },
  });
  const { pool } = channel.shared.manager;
  pool.setOptions({ ios: 8, growBy: 1 });
  const memory = cluster.memory(2 * limits.iobuf_large_bytes);
  const giveBack = takeBdevIos(pool, 1);
  assert.equal(channel.read(memory, alignedOffset(memory, 4096) + 1, 0, limits.iobuf_large_bytes + BLOCK, cb, 'r'), 0);
  cluster.turns();
  assert.deepEqual([stub.outstanding.length, pool.waiting], [0, 1]);
  giveBack();
  cluster.turns();
  assert.equal(stub.outstanding.length, 1);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual([stub.outstanding.length, done], [1, []]);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['r 0']);
  await tearDown();
});

test('bdev_io_ext_bounce_buffer: metadata in memory of its own goes with the pieces of its data', async () => {
  const metadata = { bytes: 8, interleaved: false, difType: 0, difIsHeadOfMd: false, difFlags: 0 };
  const { cluster, channel, stub, done, cb, tearDown } = await setUp({
    blocks: 8192,
    metadata,
    limits: { requiredAlignmentBytes: 512 },
  });
  const blocks = 300;
  const buf = cluster.memory(blocks * (BLOCK + 8) + 8192);
  const [iovs, md] = [new IoVecs(1), new IoVecs(2)];
  iovs.push(buf, alignedOffset(buf, 4096) + 1, blocks * BLOCK);
  const at = blocks * BLOCK + 8000;
  md.push(buf, at, 100);
  md.push(buf, at + 100, blocks * 8 - 100);
  assert.equal(channel.writevWithMd(iovs, md, 0, cb, 'w'), 0);
  let next = 0;
  while (done.length === 0) {
    assert.equal(stub.outstanding.length, 1);
    const { byteOffset, bytes, mdIovs } = stub.outstanding[0];
    const list = mdIovs as IoVecs;
    assert.deepEqual([byteOffset, list.totalBytes], [next * BLOCK, (bytes / BLOCK) * 8]);
    assert.equal(list.offset[0], at + next * 8);
    next += bytes / BLOCK;
    stub.complete(1);
    cluster.turns();
  }
  assert.deepEqual([done, next], [['w 0'], blocks]);
  await tearDown();
});

test('a buffer that comes while it is asked for is used once', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({ limits: { requiredAlignmentBytes: 512 } });
  const { iobuf } = cluster.reactors[0];
  const { getLargeOf } = iobuf;
  // Another core puts one back in between.
  iobuf.getLargeOf = () => null;
  iobuf.waitLarge = (waiter) => {
    Reflect.deleteProperty(iobuf, 'getLargeOf');
    waiter.onBuf(getLargeOf.call(iobuf, 0) as IoBuf);
  };
  assert.equal(channel.read(buf, alignedOffset(buf, 4096) + 1, 0, BLOCK, cb, 'r'), 0);
  assert.equal(stub.outstanding.length, 1);
  Reflect.deleteProperty(iobuf, 'waitLarge');
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['r 0']);
  await tearDown();
});

test('an unaligned write goes in whole write units', async () => {
  const unit = 96;
  const { cluster, channel, stub, done, cb, tearDown } = await setUp({
    blocks: 8192,
    limits: { requiredAlignmentBytes: 512, writeUnitBlocks: unit, splitOnWriteUnit: false },
  });
  const buf = cluster.memory(8 * unit * BLOCK);
  assert.equal(channel.write(buf, alignedOffset(buf, 4096) + 1, 0, 4 * unit * BLOCK, cb, 'w'), 0);
  const pieces: number[] = [];
  while (done.length === 0) {
    pieces.push(stub.outstanding[0].bytes / BLOCK);
    stub.complete(1);
    cluster.turns();
  }
  assert.deepEqual([done, pieces], [['w 0'], [2 * unit, 2 * unit]]);
  await tearDown();
});

test('a disk’s own compare has its memory as it is, also where it may have to be split', async () => {
  const limits = { requiredAlignmentBytes: 512, maxRwBlocks: 4 };
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp({
    ioTypes: ioTypes(IO_READ, IO_WRITE, IO_COMPARE),
    limits,
  });
  const iovs = new IoVecs(1);
  iovs.push(buf, alignedOffset(buf, 4096) + 4, 6 * BLOCK);
  buf.u8.fill(7);
  assert.equal(channel.comparev(iovs, 0, cb, 'compare'), 0);
  assert.deepEqual(
    stub.outstanding.map((io) => [io.type, io.bytes, addressOf(io) % 512]),
    [
      [IO_COMPARE, 4 * BLOCK, 4],
      [IO_COMPARE, 2 * BLOCK, 4],
    ],
  );
  stub.complete(2);
  cluster.turns();
  assert.deepEqual(done, ['compare 0']);
  assert.ok(buf.u8.every((byte) => byte === 7));
  await tearDown();
});

test('an alignment that cannot be had is refused', async () => {
  const cluster = await startCluster();
  const tryIt = (wants: Partial<BdevLimits>) => make(cluster, { name: 'A', limits: wants });
  await assert.rejects(tryIt({ requiredAlignmentBytes: 512, writeUnitBlocks: 512 }), {
    code: 'EINVAL',
    message: /262144 bytes, limit/,
  });
  for (const requiredAlignmentBytes of [3, -512, 0.5, 2 * limits.iobuf_align_bytes]) {
    await assert.rejects(tryIt({ requiredAlignmentBytes }), {
      code: 'EINVAL',
      message: new RegExp(`${requiredAlignmentBytes}`),
    });
  }
  await assert.rejects(tryIt({ requiredAlignmentBytes: 512, maxSegmentBytes: 700 }), { code: 'EINVAL' });
  await tryIt({ requiredAlignmentBytes: 4096, maxSegmentBytes: 8192 });
  await cluster.close();
});

test('a block that no I/O buffer holds is not compared or copied; with metadata it is refused', async () => {
  const cluster = await startCluster({ iobuf: { largeBytes: 8192 } });
  const tryIt = (params: Partial<StubParams>) => make(cluster, { name: 'B', ...params });
  for (const [format, blockSizeBytes, wrong] of [
    [{ interleaved: false, bytes: 8193 }, 512, 8193],
    [{ interleaved: true, bytes: 8 }, 8712, 8712],
  ] as const) {
    const metadata = metadataFormat({ ...format, difType: 0, difIsHeadOfMd: false });
    await assert.rejects(tryIt({ blockSizeBytes, metadata }), {
      code: 'EINVAL',
      message: `bdev "B": ${wrong} bytes of a block's metadata, and data where they are one, limit 8192, a large I/O buffer`,
    });
  }
  await assert.rejects(tryIt({ limits: { requiredAlignmentBytes: 512, writeUnitBlocks: 17 } }), {
    code: 'EINVAL',
    message: /units of 8704 bytes, limit 8192/,
  });
  for (const blockSizeBytes of [8192, 8704]) {
    const name = `B${blockSizeBytes}`;
    const { takenTypes } = await make(cluster, { name, blockSizeBytes });
    const through = ioTypes(IO_COMPARE, IO_COMPARE_AND_WRITE, IO_COPY);
    assert.equal(takenTypes & through, blockSizeBytes > 8192 ? 0 : through);
  }
  await cluster.close();
});
