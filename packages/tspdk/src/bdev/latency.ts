/**
 * How long the I/Os of one disk took on one core, while somebody wants to know (SPDK: bdev_io.internal.ch->histogram).
 *
 * All channels of the core count into the same buckets: they run on one thread. What a user submitted counts, whatever became of it; the pieces that the layer itself makes of an
 * I/O do not. Data path.
 */
import type { Clock } from '../env/clock.ts';
import { Histogram } from '../env/histogram.ts';

/** What is measured. Structured-cloneable. */
export interface LatencyOptions {
  /** IO_READ, ...; 0: all types. */
  readonly type: number;
  /** A doubling of time has 2 to the power of this many buckets in what is told, 1 to HISTOGRAM_BITS. */
  readonly granularity: number;
  /** What is shorter, or longer, is told as the first, or last, range. ns. */
  readonly minNs: number;
  readonly maxNs: number;
}

export class LatencyMeter {
  readonly options: LatencyOptions;
  readonly histogram = new Histogram();

  constructor(options: LatencyOptions) {
    this.options = options;
  }

  /** An I/O that was submitted at `submitUs[index]` ends now. */
  tally(type: number, clock: Clock, submitUs: Float64Array, index: number): void {
    if (this.options.type === 0 || this.options.type === type) this.histogram.tally(clock, submitUs, index);
  }

  /** One that took no time: what its submitter did itself, in the disk's memory. */
  tallyInstant(type: number): void {
    if (this.options.type === 0 || this.options.type === type) this.histogram.counts[0]++;
  }
}
