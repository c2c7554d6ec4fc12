/** The memory disk: data, holes, zero copy, sizes beyond one segment. */
// The memory disk: what is written is read, on every reactor, and its memory goes when it goes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { EXTENT_HOLE, EXTENT_ZERO, Extents } from '../../../bdev/extents.ts';
import { IoStat } from '../../../bdev/io-stat.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import { limits } from '../../../env/limits.ts';
import { makeSegment } from '../../../env/segment.ts';
import type { MallocBdevParams } from './malloc-bdev.ts';
import './malloc-bdev.ts';
import { memorySegments } from './memory-store.ts';

test('a malloc disk holds what was written, whatever the order, place and memory', async () => {
  await fc.assert(
    fc.asyncProperty(modelBatches(2048, 300), async (batches) => {
      const cluster = await startCluster({ reactors: 2 });
      const bdev = await cluster.until(cluster.bdevs.create('malloc', { block_size: 512, num_blocks: 2048 }));
      await runModel(cluster, bdev, new Uint8Array(bdev.sizeBytes), batches);
      await cluster.close();
    }),
    { numRuns: 40 },
  );
});

test('long zeroing goes on over several turns, and unmapped chunks become holes', async () => {
  const cluster = await startCluster();
  const bytes = 8 * 1024 * 1024;
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: 4096, num_blocks: bytes / 4096 }));
  const desc = BdevDesc.open('M', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const extents = new Extents(8);
  const hole = EXTENT_HOLE | EXTENT_ZERO;
  const status = () => {
    extents.reset();
    assert.equal(channel.blockStatus(0, bytes, extents), 0);
    return Array.from({ length: extents.count }, (_, i) => [extents.bytes[i], extents.flags[i]]);
  };
  assert.deepEqual(status(), [[bytes, hole]]);
  const buf = makeSegment(1, new SharedArrayBuffer(65536));
  buf.u8.fill(7);
  let done = 0;
  const onDone = (_: unknown, rc: number) => {
    assert.equal(rc, 0);
    done++;
  };
  channel.write(buf, 0, 65536, 4096, onDone, null);
  channel.write(buf, 0, 7 * 1024 * 1024, 65536, onDone, null);
  cluster.turns();
  assert.deepEqual(status(), [
    [65536, hole],
    [65536, 0],
    [7 * 1024 * 1024 - 131072, hole],
    [65536, 0],
    [1024 * 1024 - 65536, hole],
  ]);
  // 4 KiB short of the end of the last written chunk: that chunk stays.
  channel.unmap(0, 7 * 1024 * 1024 + 61440, onDone, null);
  cluster.round();
  assert.equal(done, 2, 'a turn does not zero it all');
  cluster.turns();
  assert.equal(done, 3);
  assert.deepEqual(status(), [
    [7 * 1024 * 1024, hole],
    [65536, 0],
    [1024 * 1024 - 65536, hole],
  ]);
  channel.read(buf, 0, 7 * 1024 * 1024, 65536, onDone, null);
  cluster.turns();
  assert.equal(buf.u8[61439], 0);
  assert.equal(buf.u8[61440], 7);
  desc.close();
  await cluster.close();
});

test('a chunk that is unmapped in part keeps its data and is no hole', async () => {
  const cluster = await startCluster();
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: 4096, num_blocks: 64 }));
  const desc = BdevDesc.open('M', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = makeSegment(1, new SharedArrayBuffer(4 * 65536));
  const onDone = (_: unknown, rc: number): void => assert.equal(rc, 0);
  channel.write(buf, 0, 0, 4 * 65536, onDone, null);
  channel.unmap(65536 + 4096, 2 * 65536, onDone, null);
  cluster.turns();
  const extents = new Extents(8);
  channel.blockStatus(0, 4 * 65536, extents);
  assert.deepEqual([...extents.bytes.subarray(0, extents.count)], [2 * 65536, 65536, 65536]);
  channel.writeZeroes(0, 4 * 65536, 2, onDone, null);
  cluster.turns();
  extents.reset();
  channel.blockStatus(0, 4 * 65536, extents);
  assert.deepEqual([extents.count, extents.flags[0]], [1, 0], 'no-hole zeroes keep their space');
  desc.close();
  await cluster.close();
});

test('a disk larger than one segment is one disk', async () => {
  const cluster = await startCluster();
  const segment = limits.bdev_malloc_segment_bytes;
  const bytes = segment + 1024 * 1024;
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: 512, num_blocks: bytes / 512 }));
  const desc = BdevDesc.open('M', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = makeSegment(1, new SharedArrayBuffer(8192));
  for (let i = 0; i < 4096; i++) buf.u8[i] = i * 13;
  let done = 0;
  const onDone = (_: unknown, rc: number): void => {
    assert.equal(rc, 0);
    done++;
  };
  channel.write(buf, 0, segment - 1024, 4096, onDone, null);
  channel.read(buf, 4096, segment - 1024, 4096, onDone, null);
  cluster.turns();
  assert.deepEqual(buf.u8.slice(4096), buf.u8.slice(0, 4096));
  const out = new IoVecs(2);
  assert.equal(channel.zcopy(segment - 512, 1024, out), true);
  assert.deepEqual(
    [out.count, out.offset[0], out.bytes[0], out.offset[1], out.bytes[1]],
    [2, segment - 512, 512, 0, 512],
  );
  channel.writeZeroes(segment - 512, 1024, 0, onDone, null);
  cluster.turns();
  channel.read(buf, 4096, segment - 1024, 4096, onDone, null);
  cluster.turns();
  assert.equal(done, 4);
  assert.deepEqual(buf.u8.slice(4096, 4608), buf.u8.slice(0, 512));
  assert.ok(buf.u8.slice(4608, 5632).every((byte) => byte === 0));
  assert.deepEqual(buf.u8.slice(5632), buf.u8.slice(1536, 4096));
  desc.close();
  await cluster.close();
});

test('any byte can be read, written and zeroed, also while the disk is limited, but for compares and trims', async () => {
  const cluster = await startCluster();
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: 4096, num_blocks: 64 }));
  const desc = BdevDesc.open('M', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(65536);
  const statuses: number[] = [];
  const cb = (_: unknown, status: number): void => void statuses.push(status);
  for (const rate of [0, 1_000_000]) {
    await cluster.until(cluster.bdevs.setRates('M', { rw_ios_per_sec: rate }));
    buf.u8.fill(7 + rate, 0, 5000);
    assert.equal(channel.write(buf, 0, 4095, 5000, cb, null), 0);
    cluster.turns();
    assert.equal(channel.writeZeroes(4097, 3, 0, cb, null), 0);
    cluster.turns();
    assert.equal(channel.read(buf, 10_000, 4094, 7, cb, null), 0);
    cluster.turns();
    const value = (7 + rate) & 255;
    assert.deepEqual([...buf.u8.subarray(10_000, 10_007)], [0, value, value, 0, 0, 0, value]);
  }
  assert.equal(channel.unmap(1, 4096, cb, null), -22);
  const iovs = new IoVecs(1);
  iovs.push(buf, 0, 100);
  assert.equal(channel.comparev(iovs, 0, cb, null), -22);
  assert.deepEqual(statuses, [0, 0, 0, 0, 0, 0]);
  desc.close();
  await cluster.close();
});

test('zcopy names the memory of the disk itself', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: 512, num_blocks: 1024 }));
  const desc = BdevDesc.open('M', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const reader = BdevDesc.open('M', { write: false, reactor: cluster.reactors[1], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const out = new IoVecs(1);
  assert.equal(channel.zcopy(4096, 512, out, true), true);
  out.segment[0]!.u8.fill(9, out.offset[0], out.offset[0] + 512);
  channel.zcopyWritten(4096, 512);
  assert.equal(channel.zcopy(0, 512, out), false, 'no room');
  out.reset();
  assert.equal(reader.getIoChannel().zcopy(4096, 512, out), true);
  assert.equal(out.segment[0]!.u8[out.offset[0]], 9);
  const extents = new Extents(4);
  channel.blockStatus(0, 65536, extents);
  assert.equal(extents.flags[0], 0, 'written: no hole');
  out.reset();
  assert.equal(reader.getIoChannel().zcopy(4096, 512, out, true), false, 'not open for writing');
  assert.equal(channel.zcopy(1023 * 512, 1024, out), false, 'past the end');
  desc.close();
  reader.close();
  await cluster.close();
});

test('a copy is one I/O of the disk, over the end of a segment and over several turns, and its target is no hole', async () => {
  const cluster = await startCluster();
  const segment = limits.bdev_malloc_segment_bytes;
  const bytes = segment + 4 * 1024 * 1024;
  const bdev = await cluster.until(
    cluster.bdevs.create('malloc', { name: 'M', block_size: 512, num_blocks: bytes / 512 }),
  );
  const desc = BdevDesc.open('M', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(8192);
  for (let i = 0; i < 4096; i++) buf.u8[i] = i * 7 + 1;
  let done = 0;
  const onDone = (_: unknown, rc: number): void => {
    assert.equal(rc, 0);
    done++;
  };
  const length = 3 * 1024 * 1024;
  // Source and target each lie in two segments, at different places.
  const [from, to] = [segment - 1024 * 1024, 1024];
  for (const at of [from, segment - 2048, from + length - 4096]) channel.write(buf, 0, at, 4096, onDone, null);
  channel.copy(to, from, length, onDone, null);
  cluster.round();
  assert.equal(done, 3, 'a turn does not copy it all');
  cluster.turns();
  for (const at of [to, to + 1024 * 1024 - 2048, to + length - 4096]) {
    buf.u8.fill(0, 4096);
    channel.read(buf, 4096, at, 4096, onDone, null);
    cluster.turns();
    assert.deepEqual(buf.u8.slice(4096), buf.u8.slice(0, 4096));
  }
  channel.copy(segment - 512, to, 1024, onDone, null);
  channel.read(buf, 4096, segment - 512, 1024, onDone, null);
  cluster.turns();
  assert.deepEqual(buf.u8.slice(4096, 4096 + 1024), buf.u8.slice(0, 1024));
  const extents = new Extents(4);
  channel.blockStatus(to, 65536, extents);
  assert.equal(extents.flags[0], 0);
  assert.equal(done, 9);
  const stat = new IoStat();
  bdev.collectStat(stat);
  const { num_copy_ops, bytes_copied, num_read_ops } = stat.toJson() as Record<string, number>;
  assert.deepEqual([num_copy_ops, bytes_copied, num_read_ops], [2, length + 1024, 4]);
  desc.close();
  await cluster.close();
});

test('what a copy writes after it was unmapped is no hole', async () => {
  const cluster = await startCluster();
  const mib = 1024 * 1024;
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: 512, num_blocks: 4 * 2048 }));
  const desc = BdevDesc.open('M', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = makeSegment(1, new SharedArrayBuffer(2 * mib));
  buf.u8.fill(7);
  const statuses: number[] = [];
  const cb = (_: unknown, status: number) => void statuses.push(status);
  channel.write(buf, 0, 0, 2 * mib, cb, null);
  cluster.turns();
  // Its second half is copied in the next turn.
  channel.copy(2 * mib, 0, 2 * mib, cb, null);
  channel.unmap(3 * mib, mib, cb, null);
  cluster.settle();
  channel.read(buf, 0, 3 * mib, mib, cb, null);
  cluster.turns();
  assert.deepEqual(statuses, [0, 0, 0, 0]);
  const extents = new Extents(4);
  assert.equal(channel.blockStatus(3 * mib, mib, extents), 0);
  assert.deepEqual([buf.u8[0], extents.count, extents.flags[0]], [7, 1, 0]);
  desc.close();
  await cluster.close();
});

test('optimal_io_boundary: reads and writes are split at it, as with SPDK', async () => {
  const cluster = await startCluster();
  const params = { name: 'M', block_size: 512, num_blocks: 64, optimal_io_boundary: 8 };
  const bdev = await cluster.until(cluster.bdevs.create('malloc', params));
  const desc = BdevDesc.open('M', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(16384);
  for (let i = 0; i < 8192; i++) buf.u8[i] = i * 3 + 1;
  const onDone = (_: unknown, rc: number): void => assert.equal(rc, 0);
  channel.write(buf, 0, 512, 8192, onDone, null);
  cluster.turns();
  channel.read(buf, 8192, 512, 8192, onDone, null);
  cluster.turns();
  assert.deepEqual(buf.u8.slice(8192), buf.u8.slice(0, 8192));
  const stat = new IoStat();
  bdev.collectStat(stat);
  const { num_write_ops, num_read_ops } = stat.toJson() as Record<string, number>;
  assert.deepEqual([num_write_ops, num_read_ops], [3, 3]);
  assert.equal(channel.read(buf, 0, 1, 8192, onDone, null), -22, 'pieces are of whole blocks');
  desc.close();
  await cluster.close();
});

test('what SPDK refuses about metadata and physical blocks is refused, and leaves no memory', async () => {
  const cluster = await startCluster();
  const before = cluster.reactors[0].segments.count;
  const make = (params: object) =>
    cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: 512, num_blocks: 8, ...params }));
  for (const params of [
    { dif_type: 1 },
    { dif_type: 1, md_size: 0, md_interleave: true },
    { dif_type: -1, md_size: 8 },
    { dif_type: 4, md_size: 8 },
    { md_size: 9 },
    { md_size: 256 },
    { physical_block_size: 513 },
  ]) {
    await assert.rejects(make(params), { code: 'EINVAL' }, JSON.stringify(params));
  }
  await assert.rejects(make({ md_size: 16, dif_type: 1, dif_pi_format: 1 }), { code: 'ENOTSUP' });
  assert.equal(cluster.reactors[0].segments.count, before);
  await make({ md_size: 128, dif_type: 3, md_interleave: true, physical_block_size: 4096 });
  await cluster.close();
});

test('names count up, and bad sizes are refused', async () => {
  const cluster = await startCluster();
  const make = (params: MallocBdevParams) => cluster.until(cluster.bdevs.create('malloc', params));
  assert.equal((await make({ block_size: 512, num_blocks: 1 })).name, 'Malloc0');
  assert.equal((await make({ block_size: 512, num_blocks: 1 })).name, 'Malloc1');
  await cluster.until(cluster.bdevs.delete('Malloc0', 'malloc'));
  assert.equal((await make({ block_size: 4096, num_blocks: 1 })).name, 'Malloc0');
  await assert.rejects(make({ block_size: 513, num_blocks: 1 }), { code: 'EINVAL' });
  await assert.rejects(make({ block_size: 0, num_blocks: 1 }), { code: 'EINVAL' });
  await assert.rejects(make({ block_size: 512, num_blocks: 0 }), { code: 'EINVAL' });
  await assert.rejects(make({ name: 'Malloc1', block_size: 512, num_blocks: 1 }), { code: 'EEXIST' });
  const before = cluster.reactors[0].segments.count;
  await assert.rejects(make({ name: 'Malloc1', block_size: 512, num_blocks: 1 }), { code: 'EEXIST' });
  assert.equal(cluster.reactors[0].segments.count, before, 'a refused disk leaves no memory behind');
  const tooMuch = (limits.bdev_malloc_segments_max - 1) * (limits.bdev_malloc_segment_bytes / 512);
  await assert.rejects(make({ block_size: 512, num_blocks: tooMuch }), {
    code: 'ENOMEM',
    message: /are 32767 segments, with 2 that are there, limit 32768$/,
  });
  await cluster.close();
  assert.equal(cluster.reactors[0].local(memorySegments).count, 0, 'what is given back counts no more');
});
