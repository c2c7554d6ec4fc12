/** Buckets and percentiles: against sorted values, and at every edge. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bucketOf, bucketStart, Histogram } from './histogram.ts';

const SHARES = [0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1];

/** As a completion at `us` after its submission at 0. */
function tally(histogram: Histogram, us: number): void {
  histogram.tally({ nowUs: us, tick: () => {}, read: () => us }, new Float64Array(1), 0);
}

/** Nanoseconds of every magnitude. */
const nanoseconds = fc
  .tuple(fc.integer({ min: 0, max: 52 }), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }))
  .map(([bits, part]) => Math.floor(2 ** bits * (1 + part)) - 1);

test('a value lies in its bucket, which is never wider than a 128th of it', () => {
  fc.assert(
    fc.property(nanoseconds, (value) => {
      const bucket = bucketOf(value);
      const [from, to] = [bucketStart(bucket), bucketStart(bucket + 1)];
      assert.ok(from <= value && value < to, `${value} in [${from}, ${to})`);
      assert.ok(to - from <= Math.max(1, from / 128), `${from} to ${to}`);
    }),
    { numRuns: 5000 },
  );
});

test('buckets follow each other without gaps, also where values stop being 32-bit integers', () => {
  const last = bucketOf(Number.MAX_SAFE_INTEGER);
  for (let bucket = 0; bucket <= last; bucket++) {
    assert.equal(bucketOf(bucketStart(bucket)), bucket);
    if (bucket > 0) assert.equal(bucketOf(bucketStart(bucket) - 1), bucket - 1);
  }
  assert.equal(new Histogram().counts.length, last + 1, 'the last one is the array’s last');
});

test('a percentile is the end of the bucket that holds the value of its rank', () => {
  fc.assert(
    fc.property(fc.array(nanoseconds, { minLength: 1, maxLength: 400 }), (values) => {
      const histogram = new Histogram();
      for (const value of values) histogram.counts[bucketOf(value)]++;
      const sorted = values.toSorted((a, b) => a - b);
      const found = histogram.percentilesUs(SHARES);
      SHARES.forEach((share, i) => {
        const exact = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1];
        assert.equal(found[i], bucketStart(bucketOf(exact) + 1) / 1000, `${share} of ${sorted.length}`);
      });
    }),
    { numRuns: 500 },
  );
});

test('tally takes microseconds of a clock; histograms add up', () => {
  const [one, other] = [new Histogram(), new Histogram()];
  tally(one, 0);
  tally(one, 5);
  tally(other, 5_000_000_000);
  // Clocks of a machine that is asleep have gone backwards before.
  tally(other, -3);
  one.add(other);
  assert.equal(one.total, 4);
  assert.deepEqual(
    one.buckets().map(({ fromUs, count }) => [fromUs <= 5 ? fromUs : Math.floor(fromUs / 1e8), count]),
    [
      [0, 2],
      [bucketStart(bucketOf(5000)) / 1000, 1],
      [49, 1],
    ],
  );
  assert.deepEqual(new Histogram().percentilesUs([0.5, 1]), [0, 0]);
});
