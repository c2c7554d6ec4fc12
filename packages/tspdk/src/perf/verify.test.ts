/** Verify finds what a disk does to data: bytes that change, writes that go elsewhere or nowhere, reads that read nothing; and is quiet when all is well. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BdevIo } from '../bdev/bdev-io.ts';
import { IO_READ, IO_WRITE } from '../bdev/index.ts';
import { stubChannel } from '../bdev/stub-module.sim.ts';
import type { Segment } from '../env/segment.ts';
import { memoryDisk, perfCluster, stubDisk } from './job.sim.ts';
import type { PerfOptions } from './options.ts';
import { comparePattern, fillPattern, patternStart } from './pattern.ts';
import type { PerfResult } from './result.ts';

const BYTES = 1024;
const PLACES = 16;

/** What a disk does with the bytes of an I/O in memory. */
type Serve = (disk: Uint8Array, memory: Uint8Array, io: { type: number; at: number; nth: number }) => void;

const honest: Serve = (disk, memory, { type, at }) => {
  if (type === IO_WRITE) disk.set(memory, at);
  else memory.set(disk.subarray(at, at + memory.length));
};

/** Verifies a disk of 16 places that serves I/Os by `serve`. */
async function verify(serve: Serve, options: Partial<PerfOptions> = {}): Promise<PerfResult> {
  const t = await perfCluster();
  const { cluster } = t;
  await stubDisk(t, 'S', (PLACES * BYTES) / 512);
  const disk = new Uint8Array(PLACES * BYTES);
  const run = await t.prepare({ workload: 'verify', ioBytes: BYTES, queueDepth: 4, ios: 200, ...options });
  const running = run.run();
  let ended = false;
  void running.finally(() => {
    ended = true;
  });
  let nth = 0;
  await cluster.untilTrue(() => {
    const stub = stubChannel('S');
    for (const io of stub.outstanding as BdevIo[]) {
      const segment = io.iovs.segment[0] as Segment;
      const from = io.iovs.offset[0];
      serve(disk, segment.u8.subarray(from, from + io.bytes), { type: io.type, at: io.byteOffset, nth: nth++ });
    }
    stub.complete(stub.outstanding.length);
    return ended;
  });
  const result = await running;
  await t.close();
  return result;
}

test('a disk that keeps what is written passes, however deep the queue', async () => {
  for (const queueDepth of [1, 4, PLACES]) {
    const { results, total } = await verify(honest, { queueDepth });
    assert.equal(results[0].status, 'finished', results[0].error);
    assert.ok(total.io_completed >= 200);
    assert.equal(total.io_failed, 0);
    assert.deepEqual(results[0].verify_range, { start: 0, length: PLACES });
  }
});

test('one changed byte, anywhere, is found and told: where, what stands there, what was written', async () => {
  const t = await fc.check(
    fc.asyncProperty(fc.nat(BYTES - 1), fc.integer({ min: 1, max: 255 }), fc.nat(50), async (byte, mask, after) => {
      let corrupted = -1;
      let expected = 0;
      const { results, total } = await verify((disk, memory, io) => {
        honest(disk, memory, io);
        if (io.type !== IO_READ || io.nth < after || corrupted >= 0) return;
        corrupted = io.at + byte;
        expected = memory[byte];
        memory[byte] ^= mask;
      });
      assert.equal(results[0].status, 'failed');
      assert.equal(total.io_failed, 1);
      const told =
        /at offset (\d+) stands ([0-9a-f]+), ([0-9a-f]+) was written there; 1 of the 1024 bytes at (\d+)/.exec(
          results[0].error ?? '',
        );
      assert.ok(told !== null, results[0].error);
      assert.equal(Number(told[1]), corrupted);
      assert.equal(Number(told[4]), corrupted - byte);
      assert.equal(Number.parseInt(told[2].slice(0, 2), 16), expected ^ mask);
      assert.equal(Number.parseInt(told[3].slice(0, 2), 16), expected);
    }),
    { numRuns: 20 },
  );
  assert.equal(t.failed, false, JSON.stringify(t.counterexample));
});

const liars: [string, Serve, Partial<PerfOptions>][] = [
  ['reads that read nothing', (disk, memory, io) => void (io.type === IO_WRITE && honest(disk, memory, io)), {}],
  [
    'reads that read the half',
    (disk, memory, io) => honest(disk, memory.subarray(0, io.type === IO_READ ? 512 : BYTES), io),
    {},
  ],
  ['a write that goes nowhere', (disk, memory, io) => void (io.nth !== 10 && honest(disk, memory, io)), {}],
  // Each I/O alone is right; only what stands in the other place is not.
  [
    'places 3 and 11 are one',
    (disk, memory, io) => honest(disk, memory, { ...io, at: io.at === 11 * BYTES ? 3 * BYTES : io.at }),
    { queueDepth: 1 },
  ],
  [
    'a place that goes back to zeroes',
    (disk, memory, io) => {
      honest(disk, memory, io);
      if (io.nth === 60) disk.fill(0, 0, 512);
    },
    { queueDepth: 1 },
  ],
];
for (const [what, serve, options] of liars) {
  test(`found: ${what}`, async () => {
    const { results } = await verify(serve, options);
    assert.equal(results[0].status, 'failed');
    assert.match(results[0].error ?? '', /was written there/);
  });
}

test('where an I/O is slow, the others go by: no place has two at once', async () => {
  const t = await perfCluster();
  await stubDisk(t, 'S', (PLACES * BYTES) / 512);
  const run = await t.prepare({ workload: 'verify', ioBytes: BYTES, queueDepth: 3 });
  const running = run.run();
  const disk = new Uint8Array(PLACES * BYTES);
  const stub = () => stubChannel('S');
  await t.cluster.untilTrue(() => stub().outstanding.length === 3);
  const serve = (io: BdevIo): void => {
    const { offset, segment } = io.iovs;
    const memory = (segment[0] as Segment).u8.subarray(offset[0], offset[0] + io.bytes);
    honest(disk, memory, { type: io.type, at: io.byteOffset, nth: 0 });
  };
  const [slow] = stub().outstanding;
  for (let i = 0; i < 200; i++) {
    const others = stub().outstanding.filter((io) => io !== slow);
    for (const io of others) {
      assert.notEqual(io.byteOffset, slow.byteOffset);
      serve(io);
      stub().outstanding.splice(stub().outstanding.indexOf(io), 1);
      io.complete(0);
    }
    t.cluster.turns();
  }
  await t.cluster.until(run.stop());
  for (const io of stub().outstanding) serve(io);
  stub().complete(3);
  const { results } = await t.cluster.until(running);
  assert.equal(results[0].status, 'terminated', results[0].error);
  await t.close();
});

test('what stood on the disk before is not trusted, nor looked at', async () => {
  let first = true;
  const { results } = await verify((disk, memory, io) => {
    if (first) disk.fill(0x77);
    first = false;
    honest(disk, memory, io);
  });
  assert.equal(results[0].status, 'finished', results[0].error);
});

test('with everyCore each job has a part of the disk to itself', async () => {
  const t = await perfCluster({ reactors: 2 });
  await memoryDisk(t, 'M', 65);
  const { results } = await t.perform({ workload: 'verify', everyCore: true, ioBytes: 1024, queueDepth: 16, ios: 500 });
  assert.deepEqual(
    results.map(({ status, verify_range }) => [status, verify_range]),
    [
      ['finished', { start: 0, length: 16 }],
      ['finished', { start: 16, length: 16 }],
    ],
  );
  await assert.rejects(t.prepare({ workload: 'verify', everyCore: true, ioBytes: 1024, queueDepth: 17 }), {
    code: 'EINVAL',
    message: /queue depth 17: bdev "M" has room for 16 I\/Os of 1024 bytes in each of 2 job/,
  });
  await t.close();
});

test('the null disk, which reads nothing, does not pass', async () => {
  const t = await perfCluster();
  await t.cluster.until(t.cluster.bdevs.create('null', { name: 'N', block_size: 512, num_blocks: 1024 }));
  const { results } = await t.perform({ workload: 'verify', ios: 100 });
  assert.equal(results[0].status, 'failed');
  await t.close();
});

test('patterns: of other places, times and seeds are other, and any changed word is seen', () => {
  const starts = new Set<number>();
  for (const seed of [1, 2]) {
    for (let place = 0; place < 100; place++) {
      for (let generation = 0; generation < 100; generation++) starts.add(patternStart(seed, place, generation));
    }
  }
  assert.ok(starts.size > 19_990, 'as good as never twice');
  assert.equal(starts.has(0), false);
  const words = new Int32Array(64);
  fillPattern(words, 8, 48, 12345);
  assert.equal(comparePattern(words, 8, 48, 12345), -1);
  for (let i = 0; i < 48; i++) {
    words[8 + i] ^= 1 << (i & 31);
    assert.equal(comparePattern(words, 8, 48, 12345), i);
    words[8 + i] ^= 1 << (i & 31);
  }
  assert.ok(words.subarray(0, 8).every((word) => word === 0) && words.subarray(56).every((word) => word === 0));
});
