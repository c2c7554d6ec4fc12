/**
 * Histograms of latency and samples of the queue depth. Checklist: SPDK's bdev_ut bdev_histograms and bdev_set_qd_sampling, its mt bdev_ut bdev_histograms_mt; titles carry their names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bucketOf, Histogram } from '../env/histogram.ts';
import { RPC_RUNTIME, RpcRegistry } from '../rpc/index.ts';
import { bdevManager } from './manager.ts';
import { countsBelow, rangeOf, toSpdkHistogram } from './observe.ts';
import { registerBdevRpc } from './rpc.ts';
import type { StubParams } from './stub-module.sim.ts';
import { timed } from './stub-setup.sim.ts';

/** A disk on two cores, and its RPCs. */
async function watched(params: Partial<StubParams> = {}) {
  const parts = await timed(2, params);
  const { cluster, clock } = parts;
  const rpc = new RpcRegistry();
  registerBdevRpc(rpc, { registry: () => cluster.bdevs, nowUs: () => clock.nowUs });
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params: object) => cluster.until((async () => rpc.call(method, params))());
  return { ...parts, call };
}

type Borders = { borders_count: number[] };
const ignore = () => {};

test('bdev_histograms, bdev_histograms_mt: the I/Os of both cores, by the time they took, until it is switched off', async () => {
  const { cores, call, buf, serve, close } = await watched();
  await assert.rejects(call('bdev_get_histogram', { name: 'S' }), /bdev "S" has no histogram/);
  cores[0].channel.read(buf, 0, 0, 512, ignore, null);
  serve(7);
  await call('bdev_enable_histogram', { name: 'S', enable: true });
  for (const [core, us] of [
    [0, 10],
    [1, 10],
    [1, 300],
  ] as const) {
    cores[core].channel.read(buf, 0, 0, 512, ignore, null);
    serve(us);
  }
  cores[0].channel.unmap(0, 512, ignore, null);
  serve(20_000);
  const borders = [9, 10, 20, 1000, 1_000_000];
  const told = (await call('bdev_get_histogram_borders', { name: 'S', borders })) as Borders;
  assert.deepEqual(told.borders_count, [0, 2, 2, 3, 4, 4]);
  const tooMany = { name: 'S', borders: new Array<number>(257).fill(1) };
  await assert.rejects(call('bdev_get_histogram_borders', tooMany), /257 borders, limit 256/);
  // From zero, and one type only.
  await call('bdev_enable_histogram', { name: 'S', enable: true, opc: 'unmap' });
  cores[0].channel.unmap(0, 512, ignore, null);
  cores[0].channel.read(buf, 0, 0, 512, ignore, null);
  serve(1);
  assert.deepEqual(
    ((await call('bdev_get_histogram_borders', { name: 'S', borders: [] })) as Borders).borders_count,
    [1],
  );
  await call('bdev_enable_histogram', { name: 'S', enable: false });
  await assert.rejects(call('bdev_get_histogram_borders', { name: 'S', borders }), { code: 'EINVAL' });
  await close();
});

test('what the layer splits counts once, with all of its time; what the module fails counts too', async () => {
  const { cores, call, buf, serve, close } = await watched({ limits: { maxRwBlocks: 1 } });
  await call('bdev_enable_histogram', { name: 'S', enable: true });
  const statuses: number[] = [];
  const done = (_ctx: unknown, status: number): void => void statuses.push(status);
  cores[0].channel.read(buf, 0, 0, 4 * 512, done, null);
  serve(50);
  cores[0].channel.read(buf, 0, 0, 512, done, null);
  cores[0].stub.complete(1, -5);
  serve(0);
  assert.deepEqual(statuses, [0, -5]);
  const { borders_count } = (await call('bdev_get_histogram_borders', {
    name: 'S',
    borders: [40, 51],
  })) as Borders;
  assert.deepEqual(borders_count, [1, 2, 2]);
  await close();
});

test('bdev_get_histogram is SPDK’s own: ranges of 2^granularity buckets, 64 bits each', async () => {
  const { cores, call, buf, serve, close } = await watched();
  await call('bdev_enable_histogram', { name: 'S', enable: true, granularity: 3, min_nsec: 1000, max_nsec: 1_000_000 });
  for (const us of [0, 2, 2, 5_000]) {
    cores[0].channel.read(buf, 0, 0, 512, ignore, null);
    serve(us);
  }
  const told = (await call('bdev_get_histogram', { name: 'S' })) as Record<string, number> & { histogram: unknown };
  const { histogram, ...rest } = told;
  // 1000 has 10 bits and 1,000,000 has 20: ranges 7 to 17 of 8 buckets; 2000 = 1024 + 7.6 x 128.
  assert.deepEqual(rest, { granularity: 3, min_range: 7, max_range: 17, tsc_rate: 1_000_000_000 });
  const buckets = new BigUint64Array(new Uint8Array(Buffer.from(String(histogram), 'base64')).buffer);
  const expected = new Array<bigint>(11 * 8).fill(0n);
  expected[0] = 1n;
  expected[8 + 7] = 2n;
  expected[11 * 8 - 1] = 1n;
  assert.deepEqual([...buckets], expected);
  for (const [params, message] of [
    [{ granularity: 8 }, /granularity 8, limit 1 to 7/],
    [{ opc: 'reed' }, /opc "reed" is none of read, write/],
    [{ min_nsec: 5, max_nsec: 5 }, /min_nsec 5 is not below max_nsec 5/],
  ] as const) {
    await assert.rejects(call('bdev_enable_histogram', { name: 'S', enable: true, ...params }), message);
  }
  await close();
});

test('histogram_get_with_borders_test: the bucket in which a border lies counts whole', () => {
  const histogram = new Histogram();
  for (let ns = 0; ns < 1 << 16; ns++) histogram.counts[bucketOf(ns)]++;
  for (let ns = 1000; ns < 10_000; ns++) histogram.counts[bucketOf(ns)]++;
  const counts = countsBelow(histogram, [1000, 10_000, 10_011, 30_000]);
  assert.deepEqual(counts, [1008, 10_048 + 9000, 10_048 + 9000, 30_080 + 9000, (1 << 16) + 9000]);
});

test('coarser buckets hold what lies in them, whatever the granularity', () => {
  const ns = fc.integer({ min: 0, max: 2 ** 31 }).chain((most) => fc.integer({ min: 0, max: most }));
  fc.assert(
    fc.property(fc.array(ns, { maxLength: 20 }), fc.integer({ min: 1, max: 7 }), (values, granularity) => {
      const histogram = new Histogram();
      for (const value of values) histogram.counts[bucketOf(value)]++;
      const options = { type: 0, granularity, minNs: 0, maxNs: Number.MAX_SAFE_INTEGER };
      const { buckets, minRange, maxRange } = toSpdkHistogram(histogram, options);
      assert.deepEqual([minRange, maxRange], [0, 53 - granularity]);
      const expected = new Array<bigint>(buckets.length).fill(0n);
      for (const value of values) {
        const range = rangeOf(value, granularity);
        const sub = (BigInt(value) >> BigInt(Math.max(0, range - 1))) & BigInt(2 ** granularity - 1);
        expected[range * 2 ** granularity + Number(sub)]++;
      }
      assert.deepEqual([...buckets], expected);
      assert.equal(countsBelow(histogram, []).at(-1), values.length);
    }),
    { numRuns: 300 },
  );
});

type Iostat = { bdevs: Record<string, number>[] };

test('bdev_set_qd_sampling: the depth over both cores, and how long the disk was busy', async () => {
  const { clock, cluster, cores, call, buf, serve, close } = await watched();
  const stat = async () => ((await call('bdev_get_iostat', { names: ['S'] })) as Iostat).bdevs[0];
  assert.equal('queue_depth' in (await stat()), false);
  await call('bdev_set_qd_sampling_period', { name: 'S', period: 100 });
  const pass = (us: number): void => {
    clock.nowUs += us;
    cluster.turns();
  };
  pass(100);
  for (let i = 0; i < 3; i++) cores[1].channel.read(buf, 0, 0, 512, ignore, null);
  cores[0].channel.write(buf, 0, 0, 512, ignore, null);
  // Core 1 tells in one period, the app core adds up in that or the next.
  pass(100);
  const before = await stat();
  pass(100);
  pass(100);
  const after = await stat();
  assert.equal(after.queue_depth_polling_period, 100);
  assert.equal(after.queue_depth, 4);
  assert.equal(after.io_time - before.io_time, 200);
  assert.equal(after.weighted_io_time - before.weighted_io_time, 800);
  serve(0);
  pass(100);
  pass(100);
  assert.equal((await stat()).queue_depth, 0);
  const idle = await stat();
  pass(1000);
  assert.equal((await stat()).io_time, idle.io_time, 'time with nothing under way does not count');
  await assert.rejects(
    call('bdev_set_qd_sampling_period', { name: 'S', period: 1e15 }),
    /period 1000000000000000 µs, limit 0 \(off\)/,
  );
  // Another period while it samples: it begins anew, and the old looks end.
  cores[1].channel.read(buf, 0, 0, 512, ignore, null);
  await call('bdev_set_qd_sampling_period', { name: 'S', period: 400 });
  pass(400);
  pass(400);
  const other = await stat();
  assert.deepEqual([other.queue_depth_polling_period, other.queue_depth], [400, 1]);
  for (const us of [100, 100, 100]) pass(us);
  assert.equal((await stat()).io_time, other.io_time, 'not looked at in between');
  pass(100);
  assert.equal((await stat()).io_time, other.io_time + 400);
  serve(0);
  await call('bdev_set_qd_sampling_period', { name: 'S', period: 0 });
  assert.equal('queue_depth' in (await stat()), false);
  pass(400);
  for (const reactor of cluster.reactors)
    assert.equal(reactor.local(bdevManager).nextPollUs(), Number.POSITIVE_INFINITY);
  await close();
});
