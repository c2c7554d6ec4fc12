/**
 * What a test is to do: bdevperf's options, their defaults and their limits. Control path.
 */
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { findWorkload, WORKLOAD_NAMES, WORKLOADS, type WorkloadName } from './workload.ts';

/** Crosses to every reactor by structured clone. */
export interface PerfOptions {
  readonly workload: WorkloadName;
  /** I/Os under way at once, of each job. */
  readonly queueDepth: number;
  /** Bytes of an I/O, a multiple of the disk's block size. */
  readonly ioBytes: number;
  /** Microseconds until no I/O is added any more. */
  readonly timeUs: number;
  /** Each job ends after so many I/Os; 0: the time alone ends it. */
  readonly ios: number;
  /** Of 100 I/Os of a mixture, how many read. */
  readonly readPercent: number;
  /** The only disk; null: every disk there is. */
  readonly bdevName: string | null;
  /** Every core has a job on every disk; else disks are dealt to cores in turn. */
  readonly everyCore: boolean;
  /** An I/O that takes longer is counted, µs; 0: none is. */
  readonly timeoutUs: number;
  /** What has timed out is aborted. */
  readonly abortOnTimeout: boolean;
  /** A job goes on after a failed I/O. */
  readonly continueOnFailure: boolean;
  /** How much a random workload prefers some places: exponent of Zipf's law; 0: not at all. */
  readonly zipfTheta: number;
  /** Percentiles are wanted: the clock is read for every I/O. */
  readonly histogram: boolean;
  /** Of places, mixture and data; the same seed gives the same I/Os. */
  readonly seed: number;
}

/** What a test does of which nothing is said. */
export const PERF_DEFAULTS: PerfOptions = {
  workload: 'randread',
  queueDepth: 32,
  ioBytes: 4096,
  timeUs: 5_000_000,
  ios: 0,
  readPercent: 50,
  bdevName: null,
  everyCore: false,
  timeoutUs: 0,
  abortOnTimeout: false,
  continueOnFailure: false,
  zipfTheta: 0,
  histogram: false,
  seed: 1,
};

/** @throws {SpdkError} EINVAL when there is no such workload. */
export function workloadNamed(name: string): WorkloadName {
  if (findWorkload(name) !== null) return name as WorkloadName;
  throw new SpdkError('EINVAL', `there is no workload "${name}"; one of: ${WORKLOAD_NAMES.join(' ')}`);
}

/** A mix was asked for. @throws {SpdkError} EINVAL when the workload has none. */
export function checkMix(workload: WorkloadName, what: string): void {
  if (workload === 'rw' || workload === 'randrw') return;
  throw new SpdkError('EINVAL', `${what}: workload "${workload}" has no mix of reads and writes; rw and randrw have`);
}

/** Zipf's law was asked for. @throws {SpdkError} EINVAL when the workload draws no places. */
export function checkZipf(workload: WorkloadName, what: string): void {
  if (WORKLOADS[workload].random) return;
  throw new SpdkError('EINVAL', `${what}: workload "${workload}" draws no places; randread, randwrite and randrw do`);
}

function inRange(what: string, value: number, min: number, max: number, unit = ''): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return;
  throw new SpdkError('EINVAL', `${what} ${value}: not a whole number from ${min} to ${max}${unit}`);
}

/** @throws {SpdkError} EINVAL naming option, value and limit. */
export function checkPerfOptions(options: PerfOptions): void {
  workloadNamed(options.workload);
  inRange('queue depth', options.queueDepth, 1, limits.perf_queue_depth_max);
  inRange('I/O size', options.ioBytes, 1, limits.perf_io_bytes_max, ' bytes');
  inRange('time', options.timeUs, 1, limits.perf_time_us_max, ' microseconds');
  inRange('number of I/Os', options.ios, 0, Number.MAX_SAFE_INTEGER);
  inRange('percentage of reads', options.readPercent, 0, 100);
  inRange('timeout', options.timeoutUs, 0, limits.perf_time_us_max, ' microseconds');
  inRange('seed', options.seed, 0, 0xffff_ffff);
  if (!(options.zipfTheta >= 0 && options.zipfTheta <= limits.perf_zipf_theta_max)) {
    throw new SpdkError('EINVAL', `zipf theta ${options.zipfTheta}: not from 0 to ${limits.perf_zipf_theta_max}`);
  }
  if (options.abortOnTimeout && options.timeoutUs === 0) {
    throw new SpdkError('EINVAL', 'there is no timeout after which an I/O could be aborted');
  }
  const bytes = options.queueDepth * options.ioBytes;
  if (bytes > limits.perf_buffer_bytes_max) {
    throw new SpdkError(
      'EINVAL',
      `queue depth ${options.queueDepth} of ${options.ioBytes} bytes needs ${bytes} bytes of memory, limit ${limits.perf_buffer_bytes_max}`,
    );
  }
}
