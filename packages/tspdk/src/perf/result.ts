/**
 * What a test has come to: one object, in the shape that bdevperf's `perform_tests` answers with, and the sums over all jobs.
 */
import { IO_TYPE_NAMES } from '../bdev/index.ts';
import { Cpuset } from '../env/cpuset.ts';
import { codeOfErrno } from '../env/errors.ts';
import { Histogram } from '../env/histogram.ts';
import type { Failure } from './job.ts';
import type { JobReport, JobSpec } from './job-control.ts';
import {
  STAT_ABORTED,
  STAT_COMPLETED,
  STAT_END,
  STAT_FAILED,
  STAT_LATENCY_MAX,
  STAT_LATENCY_MIN,
  STAT_LATENCY_SUM,
  STAT_RESETS,
  STAT_START,
  STAT_TIMEOUTS,
} from './job-stats.ts';
import { WORKLOADS, type WorkloadName } from './workload.ts';

/** Shares of the percentiles, as SPDK's performance tools print them. */
export const PERCENTILES: readonly number[] = [
  0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999, 0.99999, 0.999999, 0.9999999,
];

const MIB = 1024 * 1024;
const US_PER_S = 1_000_000;

/** "finished": its time was over; "failed"; "terminated": it was stopped before. */
export type JobStatus = 'finished' | 'failed' | 'terminated';

/** Figures of one job, or of all. Names are bdevperf's. Rates are by second of run time, latencies microseconds. */
export interface PerfFigures {
  /** Seconds from the first I/O to the last completion. */
  readonly runtime: number;
  readonly iops: number;
  readonly mibps: number;
  readonly io_completed: number;
  readonly io_failed: number;
  readonly io_timeout: number;
  /** Aborted by a reset, and sent again. */
  readonly io_aborted: number;
  readonly resets: number;
  readonly avg_latency_us: number;
  readonly min_latency_us: number;
  readonly max_latency_us: number;
  /** By share in percent; when they were asked for. */
  readonly percentiles_us?: Readonly<Record<string, number>>;
}

/** What one job, a disk on a core, has done. */
export interface JobResult extends PerfFigures {
  /** The disk's name. */
  readonly job: string;
  readonly core: number;
  readonly core_mask: string;
  readonly workload: WorkloadName;
  /** Of reads, when the workload is a mixture. */
  readonly percentage?: number;
  readonly status: JobStatus;
  /** In I/O sizes. */
  readonly verify_range?: { readonly start: number; readonly length: number };
  readonly queue_depth: number;
  readonly io_size: number;
  /** What went wrong first. */
  readonly error?: string;
}

/** What a test has done: each job, and all together. */
export interface PerfResult {
  readonly results: readonly JobResult[];
  readonly total: PerfFigures;
  readonly core_count: number;
}

/** A failed I/O in words: what, where, why. */
function failureText(bdevName: string, failure: Failure, ioBytes: number): string {
  const { offset, type, status, difference } = failure;
  if (difference !== null) {
    const { expected, found, bytes } = difference;
    return (
      `bdev "${bdevName}": at offset ${difference.offset} stands ${found}, ${expected} was written there; ` +
      `${bytes} of the ${ioBytes} bytes at ${offset} differ`
    );
  }
  const why = `${codeOfErrno(-status)} (${status})`;
  if (type === 0) return `bdev "${bdevName}": a reset failed: ${why}`;
  return `bdev "${bdevName}": ${IO_TYPE_NAMES[type]} of ${ioBytes} bytes at offset ${offset} failed: ${why}`;
}

function percentilesOf(histogram: Histogram): Record<string, number> {
  const values = histogram.percentilesUs(PERCENTILES);
  return Object.fromEntries(PERCENTILES.map((share, i) => [String(Number((share * 100).toFixed(5))), values[i]]));
}

function figures(stats: Float64Array, runtime: number, ioBytes: number, histogram: Histogram | null): PerfFigures {
  const completed = stats[STAT_COMPLETED];
  const iops = runtime > 0 ? completed / runtime : 0;
  return {
    runtime,
    iops,
    mibps: (iops * ioBytes) / MIB,
    io_completed: completed,
    io_failed: stats[STAT_FAILED],
    io_timeout: stats[STAT_TIMEOUTS],
    io_aborted: stats[STAT_ABORTED],
    resets: stats[STAT_RESETS],
    avg_latency_us: completed > 0 ? stats[STAT_LATENCY_SUM] / completed : 0,
    min_latency_us: completed > 0 ? stats[STAT_LATENCY_MIN] : 0,
    max_latency_us: stats[STAT_LATENCY_MAX],
    ...(histogram === null ? {} : { percentiles_us: percentilesOf(histogram) }),
  };
}

function jobResult(spec: JobSpec, report: JobReport): JobResult {
  const { options } = spec;
  const { stats, failure } = report;
  const workload = WORKLOADS[options.workload];
  const runtime = (stats[STAT_END] - stats[STAT_START]) / US_PER_S;
  const histogram = options.histogram ? new Histogram(report.histogram) : null;
  const error = report.removed
    ? `bdev "${spec.bdevName}" was removed`
    : failure === null
      ? null
      : failureText(spec.bdevName, failure, options.ioBytes);
  return {
    job: spec.bdevName,
    core: spec.core,
    core_mask: `0x${new Cpuset([spec.core]).toString()}`,
    workload: options.workload,
    ...(workload.mixed && !workload.reset ? { percentage: options.readPercent } : {}),
    status: error !== null ? 'failed' : report.terminated ? 'terminated' : 'finished',
    ...(workload.verify ? { verify_range: { start: spec.firstPlace, length: spec.places } } : {}),
    queue_depth: options.queueDepth,
    io_size: options.ioBytes,
    ...figures(stats, runtime, options.ioBytes, histogram),
    ...(error === null ? {} : { error }),
  };
}

/** Rates of all jobs added up, counters too; latencies over all I/Os; the run time is the longest. */
function total(results: readonly JobResult[], histogram: Histogram | null): PerfFigures {
  const sum = (of: (each: JobResult) => number): number => results.reduce((all, each) => all + of(each), 0);
  const busy = results.filter((each) => each.io_completed > 0);
  const completed = sum((each) => each.io_completed);
  return {
    runtime: Math.max(0, ...results.map((each) => each.runtime)),
    iops: sum((each) => each.iops),
    mibps: sum((each) => each.mibps),
    io_completed: completed,
    io_failed: sum((each) => each.io_failed),
    io_timeout: sum((each) => each.io_timeout),
    io_aborted: sum((each) => each.io_aborted),
    resets: sum((each) => each.resets),
    avg_latency_us: completed > 0 ? sum((each) => each.avg_latency_us * each.io_completed) / completed : 0,
    min_latency_us: busy.length > 0 ? Math.min(...busy.map((each) => each.min_latency_us)) : 0,
    max_latency_us: Math.max(0, ...results.map((each) => each.max_latency_us)),
    ...(histogram === null ? {} : { percentiles_us: percentilesOf(histogram) }),
  };
}

/** `reports` in the order of `specs`. */
export function perfResult(specs: readonly JobSpec[], reports: readonly JobReport[]): PerfResult {
  const results = specs.map((spec, i) => jobResult(spec, reports[i]));
  const all = specs.some((spec) => spec.options.histogram) ? new Histogram() : null;
  if (all !== null) for (const report of reports) all.add(new Histogram(report.histogram));
  return { results, total: total(results, all), core_count: new Set(specs.map((spec) => spec.core)).size };
}

/** What went wrong, a line a job. */
export function perfErrors(result: PerfResult): string[] {
  return result.results.flatMap(({ error }) => (error === undefined ? [] : [error]));
}
