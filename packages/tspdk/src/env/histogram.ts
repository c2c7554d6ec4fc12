/**
 * How long I/Os took, in buckets whose width grows with what they hold (SPDK: struct spdk_histogram_data).
 *
 * A value is a whole number of nanoseconds. Below 128 each has a bucket of its own; from there on each doubling has 128, so that a bucket is never wider than a
 * 128th of what it holds. Counts are doubles in one array: exact to 2^53, added up without allocation, and cloned from core to core.
 */
import type { Clock } from './clock.ts';

/** A doubling has 2 to the power of this many buckets (SPDK: SPDK_HISTOGRAM_GRANULARITY_DEFAULT). */
export const HISTOGRAM_BITS = 7;
const SUB_BITS = HISTOGRAM_BITS;
const SUB = 1 << SUB_BITS;
/** Values have 53 bits at most. */
const RANGES = 53 - SUB_BITS + 1;
/** A value of more bits than an integer has is looked at without so many of its last ones. */
const CUT_BITS = 24;
const CUT = 2 ** CUT_BITS;
const INT_END = 2 ** 31;
/** What is left of the largest value of 53 bits when those are cut off. */
const CUT_MAX = 2 ** (53 - CUT_BITS) - 1;
const NS_PER_US = 1000;

/** Bucket of a value in [0, 2^31). */
function bucketOfInt(value: number): number {
  if (value < SUB) return value;
  const range = 32 - SUB_BITS - Math.clz32(value);
  return (range << SUB_BITS) + ((value >>> (range - 1)) & (SUB - 1));
}

/** Bucket of a value in nanoseconds, a whole number from 0 to 2^53 - 1. */
export function bucketOf(value: number): number {
  if (value < INT_END) return bucketOfInt(value | 0);
  return bucketOfInt(Math.min(Math.floor(value / CUT), CUT_MAX)) + (CUT_BITS << SUB_BITS);
}

/** Smallest value of a bucket. */
export function bucketStart(bucket: number): number {
  const range = bucket >>> SUB_BITS;
  const sub = bucket & (SUB - 1);
  return range === 0 ? sub : (SUB + sub) * 2 ** (range - 1);
}

/** How many values there were in each bucket: 128 for each doubling, of nanoseconds from 0 on. */
export class Histogram {
  readonly counts: Float64Array;

  constructor(counts: Float64Array = new Float64Array(RANGES << SUB_BITS)) {
    this.counts = counts;
  }

  /** Data path: an I/O that was submitted at `submitUs[index]` ends now. Returns nothing: a time that is returned is a number on the heap. */
  tally(clock: Clock, submitUs: Float64Array, index: number): void {
    const ns = (clock.nowUs - submitUs[index]) * NS_PER_US;
    if (ns < INT_END) this.counts[bucketOfInt(ns < 0 ? 0 : ns | 0)]++;
    else this.counts[bucketOf(ns)]++;
  }

  add(other: Histogram): void {
    for (let i = 0; i < this.counts.length; i++) this.counts[i] += other.counts[i];
  }

  get total(): number {
    let total = 0;
    for (let i = 0; i < this.counts.length; i++) total += this.counts[i];
    return total;
  }

  /**
   * For each share (0 to 1, rising) the microseconds that at least so many of the values do not exceed: the end of the bucket that
   * holds the value of that rank. Zeroes when nothing was tallied.
   */
  percentilesUs(shares: readonly number[]): number[] {
    const { total } = this;
    let soFar = 0;
    let bucket = -1;
    return shares.map((share) => {
      if (total === 0) return 0;
      const rank = Math.max(1, Math.ceil(share * total));
      while (soFar < rank && bucket + 1 < this.counts.length) soFar += this.counts[++bucket];
      return bucketStart(bucket + 1) / NS_PER_US;
    });
  }

  /** Buckets that hold something: from and to (exclusive) in microseconds, and how many. */
  buckets(): { fromUs: number; toUs: number; count: number }[] {
    const found: { fromUs: number; toUs: number; count: number }[] = [];
    this.counts.forEach((count, i) => {
      if (count > 0) found.push({ fromUs: bucketStart(i) / NS_PER_US, toUs: bucketStart(i + 1) / NS_PER_US, count });
    });
    return found;
  }
}
