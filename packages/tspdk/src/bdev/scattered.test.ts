/** Blocks, and write units, in more pieces of memory than their disk takes: through a buffer, in as many of its segments as it takes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import { setUp } from './stub-setup.sim.ts';

const BLOCK = 512;

/** Memory of the given pieces with a gap after each. */
function apart(segment: Segment, pieces: readonly number[]): IoVecs {
  const iovs = new IoVecs(pieces.length);
  let at = 0;
  for (const bytes of pieces) {
    iovs.push(segment, at, bytes);
    at += bytes + 3;
  }
  return iovs;
}

const bytesOf = ({ segment, offset, bytes, count }: IoVecs): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, i) => (segment[i] as Segment).u8.slice(offset[i], offset[i] + bytes[i])),
  );

test('a block, or a unit, in more pieces than the disk takes goes through a buffer; one that all of them together do not hold is refused', async () => {
  const units = { writeUnitBlocks: 2, splitOnWriteUnit: true };
  for (const [wants, given] of [
    [{ ...units, maxSegments: 2 }, [2, 2]],
    [{ maxSegments: 2 }, [1, 1, 2]],
    [{ maxSegments: 2, maxSegmentBytes: 256 }, [1, 1, 1, 1]],
    [{ ...units, maxSegments: 2, maxSegmentBytes: 512 }, [2, 2]],
    [{ maxSegments: 1, maxSegmentBytes: 256 }, []],
    [{ ...units, maxSegments: 3, maxSegmentBytes: 256 }, []],
  ] as const) {
    const { cluster, channel, stub, done, cb, tearDown } = await setUp({ limits: wants });
    const memory = cluster.memory(65536);
    for (let i = 0; i < memory.u8.length; i++) memory.u8[i] = i * 7 + (i >> 8);
    // Two blocks in three pieces each, and two more in one.
    const iovs = new IoVecs(8);
    for (const [i, bytes] of [200, 200, 112, 100, 400, 12, 1024].entries()) iovs.push(memory, i * 2048, bytes);
    const wanted = bytesOf(iovs);
    assert.equal(channel.writev(iovs, 8 * BLOCK, cb, 'w'), 0);
    assert.deepEqual(
      stub.outstanding.map((io) => io.bytes / BLOCK),
      given,
    );
    if (given.length > 0) assert.deepEqual(Buffer.concat(stub.outstanding.map((io) => bytesOf(io.iovs))), wanted);
    stub.complete(given.length);
    await cluster.untilTrue(() => done.length === 1);
    assert.deepEqual(done, [given.length > 0 ? 'w 0' : 'w -22']);
    await tearDown();
  }
});

test('a unit in more pieces than the disk takes, one of which is longer than it takes, goes through a buffer', async () => {
  // 30 pieces, which the disk's segments cut into 61.
  for (const [blocks, pieces, maxSegments, maxSegmentBytes, given] of [
    [8, Array.from({ length: 8 }, () => BLOCK), 5, 2048, [2048, 2048]],
    [64, [...Array.from({ length: 29 }, () => 16), 64 * BLOCK - 29 * 16], 40, 1024, new Array(32).fill(1024)],
  ] as const) {
    const { cluster, channel, stub, done, cb, tearDown } = await setUp({
      limits: { writeUnitBlocks: blocks, splitOnWriteUnit: true, maxSegments, maxSegmentBytes },
    });
    const memory = cluster.memory(1 << 20);
    for (let i = 0; i < memory.u8.length; i++) memory.u8[i] = i * 7 + (i >> 8);
    const iovs = apart(memory, pieces);
    const wanted = bytesOf(iovs);
    assert.equal(channel.writev(iovs, 0, cb, 'w'), 0);
    assert.equal(stub.outstanding.length, 1);
    const out = stub.outstanding[0].iovs;
    assert.deepEqual(out.bytes.slice(0, out.count), given);
    assert.deepEqual(bytesOf(out), wanted);
    stub.complete(1);
    cluster.turns();
    assert.deepEqual(done, ['w 0']);
    await tearDown();
  }
});

test('a block in too many pieces goes through a buffer, though its disk is written in units that none holds', async () => {
  const { cluster, channel, stub, done, cb, tearDown } = await setUp({
    limits: { writeUnitBlocks: 512, splitOnWriteUnit: false, maxSegments: 1 },
  });
  const memory = cluster.memory(4096);
  const iovs = apart(memory, [100, 412]);
  assert.equal(channel.writev(iovs, 0, cb, 'w'), 0);
  assert.deepEqual(
    stub.outstanding.map((io) => [io.bytes, io.iovs.count]),
    [[BLOCK, 1]],
  );
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['w 0']);
  await tearDown();
});
