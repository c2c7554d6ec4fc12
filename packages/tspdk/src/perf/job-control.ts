/**
 * What the app core has each reactor do with its jobs: make them, run them, look at them, end them. Control calls; options and counters cross, no objects.
 *
 * A job has a lightweight thread of its own, tied to the core (SPDK: each bdevperf job has an spdk_thread), and so its own channel.
 */
import { BdevDesc } from '../bdev/index.ts';
import { Cpuset } from '../env/cpuset.ts';
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { alignedOffset, type Segment } from '../env/segment.ts';
import { defineControl, localKey, type Reactor } from '../event/index.ts';
import { type Poller, Thread } from '../thread/index.ts';
import { type Failure, Job } from './job.ts';
import { STAT_COMPLETED } from './job-stats.ts';
import type { PerfOptions } from './options.ts';
import { fillPattern, patternStart } from './pattern.ts';
import { changesDisk, WORKLOADS } from './workload.ts';

/** Buffers start at this alignment, as direct I/O needs it. */
export const BUFFER_ALIGN_BYTES = limits.iobuf_align_bytes;

/** A job, as the app core plans it. */
export interface JobSpec {
  /** Unique in the application. */
  readonly id: number;
  readonly bdevName: string;
  readonly core: number;
  readonly options: PerfOptions;
  readonly seed: number;
  readonly firstPlace: number;
  readonly places: number;
  /** Its buffers: `segmentBytes(options)` bytes. */
  readonly segmentId: number;
}

/** What a job has come to. */
export interface JobReport {
  readonly id: number;
  readonly stats: Float64Array;
  readonly histogram: Float64Array;
  readonly failure: Failure | null;
  /** Stopped before its time was over. */
  readonly terminated: boolean;
  /** The disk was taken away. */
  readonly removed: boolean;
}

/** Bytes from one buffer to the next. */
function strideBytes(options: PerfOptions): number {
  return Math.ceil(options.ioBytes / BUFFER_ALIGN_BYTES) * BUFFER_ALIGN_BYTES;
}

/** Bytes that a job's buffers take, wherever the segment begins. */
export function segmentBytes(options: PerfOptions): number {
  return strideBytes(options) * options.queueDepth + BUFFER_ALIGN_BYTES;
}

/** What is written where nobody compares; nothing that a disk could make smaller. */
function fillBuffers(segment: Segment, seed: number): void {
  const words = new Int32Array(segment.sab, 0, segment.sizeBytes >> 2);
  fillPattern(words, 0, words.length, patternStart(seed, 0, 0));
}

/** How often I/Os that take too long are looked for. */
function timeoutPollUs(timeoutUs: number): number {
  return Math.max(1, Math.min(1_000_000, Math.floor(timeoutUs / 4)));
}

function sendWaiting(job: Job): void {
  job.sendWaiting();
}

/** A job on its reactor, with what it lives on. */
class RunningJob {
  readonly job: Job;
  readonly #spec: JobSpec;
  readonly #thread: Thread;
  readonly #desc: BdevDesc;
  readonly #pollers: Poller[] = [];
  #terminated = false;
  #removed = false;
  #ended: () => void = () => {};

  /** @throws {SpdkError} what opening the disk throws. */
  constructor(spec: JobSpec, reactor: Reactor) {
    this.#spec = spec;
    const { options } = spec;
    const cpumask = new Cpuset([reactor.core]);
    this.#thread = Thread.create(reactor, { name: `perf_${spec.id}`, cpumask }) as Thread; // this core, so it is the Thread itself
    let desc: BdevDesc | null = null;
    try {
      const write = changesDisk(WORKLOADS[options.workload]);
      const onEvent = (event: 'remove' | 'resize'): void => {
        if (event === 'remove') this.#remove();
      };
      desc = this.#thread.run(() => BdevDesc.open(spec.bdevName, { write, hideMetadata: true, onEvent, reactor }));
      this.#desc = desc;
      const segment = reactor.segments.get(spec.segmentId);
      if (write) fillBuffers(segment, spec.seed);
      this.job = new Job({
        options,
        channel: this.#thread.run(() => this.#desc.getIoChannel()),
        host: reactor,
        seed: spec.seed,
        firstPlace: spec.firstPlace,
        places: spec.places,
        segment,
        offset: alignedOffset(segment, BUFFER_ALIGN_BYTES),
        stride: strideBytes(options),
        wake: () => {
          this.#thread.sendLocalMsg(sendWaiting, this.job);
          reactor.kick();
        },
        onEnd: () => this.#end(),
      });
    } catch (error) {
      this.#thread.run(() => {
        desc?.close();
        this.#thread.exit();
      });
      throw error;
    }
  }

  /** Starts it; resolves when its last I/O is back. */
  run(): Promise<JobReport> {
    const { options } = this.#spec;
    const thread = this.#thread;
    const { job } = this;
    const every = (name: string, periodUs: number, fn: () => void): void => {
      const call = (): number => {
        fn();
        return 1;
      };
      this.#pollers.push(thread.registerPoller({ name, periodUs, fn: call }));
    };
    return new Promise((resolve) => {
      this.#ended = () => resolve(this.#report());
      thread.run(() => {
        every('perf_time', options.timeUs, () => job.drain());
        if (options.timeoutUs > 0) {
          const look = (): void => job.checkTimeouts(options.timeoutUs, options.abortOnTimeout);
          every('perf_timeout', timeoutPollUs(options.timeoutUs), look);
        }
        if (WORKLOADS[options.workload].reset) {
          every('perf_resume', limits.perf_reset_pause_us, () => job.resume());
          every('perf_reset', limits.perf_reset_us, () => job.reset());
        }
        if (this.#terminated) job.drain();
        job.start();
      });
    });
  }

  /** Ends it before its time. */
  stop(): void {
    if (this.job.ended) return;
    this.#terminated = true;
    this.#thread.run(() => this.job.drain());
  }

  /** Gives everything back. Nothing is under way any more. */
  close(): void {
    this.#thread.run(() => {
      for (const poller of this.#pollers) poller.unregister();
      this.#desc.close();
      this.#thread.exit();
    });
  }

  #remove(): void {
    this.#removed = true;
    this.job.drain();
  }

  #end(): void {
    for (const poller of this.#pollers) poller.unregister();
    this.#ended();
  }

  #report(): JobReport {
    const { stats, histogram, failure } = this.job;
    return {
      id: this.#spec.id,
      stats,
      histogram: histogram.counts,
      failure,
      terminated: this.#terminated,
      removed: this.#removed,
    };
  }
}

const jobs = localKey('perf.jobs', () => new Map<number, RunningJob>());

function jobOf(reactor: Reactor, id: number): RunningJob {
  const job = reactor.local(jobs).get(id);
  if (job === undefined) throw new SpdkError('ENOENT', `no job ${id} on core ${reactor.core}`);
  return job;
}

/** @throws {SpdkError} ENODEV, EROFS, EPERM: the disk cannot be opened so. */
export const openJob = defineControl('perf.job.open', (spec: JobSpec, reactor): void => {
  reactor.local(jobs).set(spec.id, new RunningJob(spec, reactor));
});

/** Runs a job to its end. */
export const runJob = defineControl('perf.job.run', (id: number, reactor): Promise<JobReport> => {
  return jobOf(reactor, id).run();
});

/** A job that is gone has nothing to stop. */
export const stopJob = defineControl('perf.job.stop', (id: number, reactor): void => {
  reactor.local(jobs).get(id)?.stop();
});

/** I/Os that a job has completed so far. */
export const sampleJob = defineControl('perf.job.sample', (id: number, reactor): number => {
  return reactor.local(jobs).get(id)?.job.stats[STAT_COMPLETED] ?? 0;
});

export const closeJob = defineControl('perf.job.close', (id: number, reactor): void => {
  reactor.local(jobs).get(id)?.close();
  reactor.local(jobs).delete(id);
});
