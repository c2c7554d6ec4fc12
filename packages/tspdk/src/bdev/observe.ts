/**
 * Looking closer at a disk for a while: latency histograms and queue depth, switched on and off on every core, and added up. Control path; app core.
 */
import { SpdkError } from '../env/errors.ts';
import { bucketStart, HISTOGRAM_BITS, Histogram } from '../env/histogram.ts';
import { defineControl } from '../event/control.ts';
import type { Bdev } from './bdev.ts';
import { callAll } from './call-all.ts';
import { DepthSampler } from './depth.ts';
import { LatencyMeter, type LatencyOptions } from './latency.ts';
import { bdevManager } from './manager.ts';

/** Bits of the largest time that SPDK's histograms have a bucket for. */
const SPDK_BITS = 64;
export const LATENCY_TICKS_PER_SECOND = 1_000_000_000;
/** A day. */
const PERIOD_MAX_US = 86_400_000_000;

const meterBdev = defineControl(
  'bdev.latency',
  (job: { id: number; options: LatencyOptions | null }, reactor): void => {
    const bdev = reactor.local(bdevManager).byId.get(job.id);
    if (bdev !== undefined) bdev.meter = job.options === null ? null : new LatencyMeter(job.options);
  },
);

const readMeter = defineControl(
  'bdev.latency.read',
  (id: number, reactor): Float64Array | null =>
    reactor.local(bdevManager).byId.get(id)?.meter?.histogram.counts ?? null,
);

const sampleBdev = defineControl(
  'bdev.depth',
  (job: { id: number; state: SharedArrayBuffer; periodUs: number }, reactor): void => {
    const bdev = reactor.local(bdevManager).byId.get(job.id);
    if (bdev === undefined) return;
    bdev.sampler?.stop();
    bdev.sampler = job.periodUs === 0 ? null : new DepthSampler(bdev, job.state, job.periodUs);
  },
);

/**
 * Counts from now on, from zero, how long the disk's I/Os take; `options` null: not any more (SPDK: spdk_bdev_histogram_enable_ext).
 * @throws {SpdkError} EINVAL for a granularity or times out of range
 */
export async function enableHistogram(bdev: Bdev, options: LatencyOptions | null): Promise<void> {
  if (options !== null) {
    const { granularity, minNs, maxNs } = options;
    if (!(granularity >= 1 && granularity <= HISTOGRAM_BITS)) {
      throw new SpdkError('EINVAL', `granularity ${granularity}, limit 1 to ${HISTOGRAM_BITS}`);
    }
    if (!(minNs < maxNs)) throw new SpdkError('EINVAL', `min_nsec ${minNs} is not below max_nsec ${maxNs}`);
  }
  await callAll(bdev.manager.reactor, meterBdev, { id: bdev.id, options });
}

/** What was counted on all cores. @throws {SpdkError} EINVAL when nothing is */
export async function readHistogram(bdev: Bdev): Promise<{ histogram: Histogram; options: LatencyOptions }> {
  const { meter } = bdev;
  if (meter === null) throw new SpdkError('EINVAL', `bdev "${bdev.name}" has no histogram: enable it first`);
  const histogram = new Histogram();
  for (const counts of await callAll(bdev.manager.reactor, readMeter, bdev.id)) {
    if (counts !== null) histogram.add(new Histogram(counts));
  }
  return { histogram, options: meter.options };
}

/** A time's range: 0 for what is below 2^bits, then one for each doubling (SPDK: __spdk_histogram_data_get_bucket_range). */
export function rangeOf(ns: number, bits: number): number {
  return ns < 2 ** bits ? 0 : ns.toString(2).length - bits;
}

/** A histogram as SPDK's own: 2^granularity counts a range, 64-bit little-endian, from the range of `minNs` to that of `maxNs`. */
export function toSpdkHistogram(
  { counts }: Histogram,
  { granularity, minNs, maxNs }: LatencyOptions,
): { buckets: BigUint64Array; minRange: number; maxRange: number } {
  const perRange = 2 ** granularity;
  const minRange = rangeOf(minNs, granularity);
  const maxRange = Math.min(rangeOf(maxNs, granularity), SPDK_BITS - granularity);
  const buckets = new BigUint64Array((maxRange - minRange + 1) * perRange);
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] === 0) continue;
    const ns = bucketStart(i);
    const range = rangeOf(ns, granularity);
    const sub = Math.floor(range === 0 ? ns : ns / 2 ** (range - 1) - perRange);
    const at = (range - minRange) * perRange + sub;
    buckets[Math.min(Math.max(at, 0), buckets.length - 1)] += BigInt(counts[i]);
  }
  return { buckets, minRange, maxRange };
}

/**
 * How many took no longer than each of `bordersNs`, and then how many there are (SPDK: spdk_histogram_get_borders_count). To the width of a bucket, a 128th of the border: as with SPDK, the
 * bucket in which the border lies counts whole.
 */
export function countsBelow({ counts }: Histogram, bordersNs: readonly number[]): number[] {
  return [...bordersNs, Number.POSITIVE_INFINITY].map((border) => {
    let below = 0;
    for (let i = 0; i < counts.length && bucketStart(i) <= border; i++) below += counts[i];
    return below;
  });
}

/**
 * Looks at the disk's queue depth every `periodUs` from now on; 0: not any more.
 * @throws {SpdkError} EINVAL out of range
 */
export async function setSamplingPeriod(bdev: Bdev, periodUs: number): Promise<void> {
  if (!(Number.isInteger(periodUs) && periodUs >= 0 && periodUs <= PERIOD_MAX_US)) {
    throw new SpdkError('EINVAL', `period ${periodUs} µs, limit 0 (off) to ${PERIOD_MAX_US}`);
  }
  const { reactor } = bdev.manager;
  const state = new SharedArrayBuffer(reactor.cores.length * 4);
  await callAll(reactor, sampleBdev, { id: bdev.id, state, periodUs });
}

/** What sampling adds to bdev_get_iostat. */
export function depthJson({ sampler }: Bdev): Record<string, number> {
  if (sampler === null) return {};
  return {
    queue_depth_polling_period: sampler.periodUs,
    queue_depth: sampler.depth,
    io_time: Math.round(sampler.busyUs),
    weighted_io_time: Math.round(sampler.weightedUs),
  };
}
