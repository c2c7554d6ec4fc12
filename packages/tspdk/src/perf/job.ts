/**
 * A job: one disk, one lightweight thread, so many I/Os under way at once; whenever one ends, the next is sent (SPDK: struct bdevperf_job).
 *
 * All that it needs is made before it starts: tasks, buffers, counters. A completion counts itself and sends its task again, so a
 * job needs no poller for that. It ends when it is told to drain (the time is over, the disk goes, an I/O has failed) and the last I/O is back. Data
 * path; job-control.ts makes, starts and ends jobs. Its lightweight thread only.
 */
import { type BdevChannel, IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE, IO_WRITE_ZEROES } from '../bdev/index.ts';
import { ECANCELED, EIO, ENOMEM } from '../bdev/status.ts';
import type { Clock } from '../env/clock.ts';
import { Histogram } from '../env/histogram.ts';
import type { Segment } from '../env/segment.ts';
import { IntRandom } from './int-random.ts';
import {
  newJobStats,
  STAT_ABORTED,
  STAT_COMPLETED,
  STAT_END,
  STAT_FAILED,
  STAT_ISSUED,
  STAT_LATENCY_MAX,
  STAT_LATENCY_MIN,
  STAT_LATENCY_SUM,
  STAT_RESETS,
  STAT_START,
  STAT_TIMEOUTS,
} from './job-stats.ts';
import type { PerfOptions } from './options.ts';
import { makePlaces, type Places } from './places.ts';
import { PerfTask, type TaskOwner } from './task.ts';
import { type Difference, Verifier, VISIT_DIFFERS, VISIT_GOES_ON } from './verifier.ts';
import { WORKLOADS } from './workload.ts';

/** The first failure of a job. */
export interface Failure {
  /** Of the disk, bytes. */
  readonly offset: number;
  /** IO_*. */
  readonly type: number;
  /** Negative errno. */
  readonly status: number;
  /** When the data was wrong. */
  readonly difference: Difference | null;
}

/** What a job asks of its reactor. */
export interface JobHost {
  readonly clock: Clock;
  /** A turn is running: the clock was read for it, and not hours ago. */
  readonly inTurn: boolean;
}

/** What a job is made of. */
export interface JobParts {
  readonly options: PerfOptions;
  readonly channel: BdevChannel;
  /** Its reactor. */
  readonly host: JobHost;
  readonly seed: number;
  /** Its part of the disk, in I/O sizes. */
  readonly firstPlace: number;
  readonly places: number;
  /** Buffers: one each `stride` bytes, from `offset` on. */
  readonly segment: Segment;
  readonly offset: number;
  readonly stride: number;
  /** Has `sendWaiting` called in a coming turn of the job's thread. */
  readonly wake: () => void;
  /** The last I/O is back. Called once. */
  readonly onEnd: () => void;
}

export class Job implements TaskOwner {
  readonly stats = newJobStats();
  readonly histogram = new Histogram();
  failure: Failure | null = null;
  readonly #channel: BdevChannel;
  readonly #segment: Segment;
  readonly #host: JobHost;
  readonly #clock: Clock;
  readonly #tasks: PerfTask[];
  readonly #submitUs: Float64Array;
  readonly #ioBytes: number;
  readonly #firstPlace: number;
  readonly #places: Places;
  readonly #verifier: Verifier | null;
  /** Of the mixture; also of what is not one, where it is never asked. */
  readonly #mix: IntRandom;
  readonly #mixed: boolean;
  readonly #readPercent: number;
  readonly #type: number;
  readonly #isReset: boolean;
  /** The clock is read at each completion. */
  readonly #exact: boolean;
  readonly #goOn: boolean;
  readonly #iosMax: number;
  readonly #wake: () => void;
  readonly #onEnd: () => void;
  #draining = false;
  /** Tasks that are not at rest. */
  #busy = 0;
  /** Tasks that a reset has thrown back, and that wait for its end. */
  readonly #parked: PerfTask[] = [];
  /** Tasks that came back outside of a turn; the first so many are to be sent. */
  readonly #waiting: PerfTask[] = [];
  #waitingCount = 0;
  #resetting = false;
  #ended = false;

  constructor(parts: JobParts) {
    const { options } = parts;
    const workload = WORKLOADS[options.workload];
    this.#channel = parts.channel;
    this.#segment = parts.segment;
    this.#host = parts.host;
    this.#clock = parts.host.clock;
    this.#ioBytes = options.ioBytes;
    this.#firstPlace = parts.firstPlace;
    this.#places = makePlaces(options, parts.places, parts.seed);
    this.#verifier = workload.verify
      ? new Verifier(parts.seed, parts.places, options.ioBytes, new Int32Array(parts.segment.sab))
      : null;
    this.#mix = new IntRandom(parts.seed ^ 0x5bd1e995);
    this.#mixed = workload.mixed;
    this.#readPercent = workload.reset ? 50 : options.readPercent;
    this.#type = workload.type;
    this.#isReset = workload.reset;
    this.#exact = options.histogram;
    this.#goOn = options.continueOnFailure;
    this.#iosMax = options.ios === 0 ? Number.POSITIVE_INFINITY : options.ios;
    this.#wake = parts.wake;
    this.#onEnd = parts.onEnd;
    this.#submitUs = new Float64Array(options.queueDepth);
    this.#tasks = Array.from(
      { length: options.queueDepth },
      (_, i) => new PerfTask(this, i, parts.offset + i * parts.stride),
    );
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Sends the first I/O of every task. */
  start(): void {
    this.#clock.tick();
    this.stats[STAT_START] = this.#clock.nowUs;
    this.#busy = this.#tasks.length;
    for (const task of this.#tasks) this.#next(task);
  }

  /** Adds no I/O any more; ends when the last is back. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#unpark();
  }

  /** Counts what has been under way for `timeoutUs` and longer, once each, and aborts it when `abort` says so. */
  checkTimeouts(timeoutUs: number, abort: boolean): void {
    const now = this.#clock.nowUs;
    for (const task of this.#tasks) {
      if (!task.submitted || task.late || now - this.#submitUs[task.index] < timeoutUs) continue;
      task.late = true;
      this.stats[STAT_TIMEOUTS]++;
      if (abort) this.#channel.abort(task);
    }
  }

  /** Resets the disk, when no reset is under way. What the reset aborts is sent again after it. */
  reset(): void {
    if (this.#resetting || this.#draining) return;
    if (this.#channel.reset(resetDone, this) === 0) this.#resetting = true;
  }

  /** The reset is over. */
  afterReset(status: number): void {
    this.#resetting = false;
    if (status === 0) this.stats[STAT_RESETS]++;
    else {
      this.#failed(null, status);
      if (!this.#goOn) this.drain();
    }
    this.#unpark();
    this.#endWhenIdle();
  }

  /** Sends again what a reset from elsewhere has aborted. */
  resume(): void {
    if (!this.#resetting) this.#unpark();
  }

  /** Sends what came back outside of a turn. */
  sendWaiting(): void {
    const count = this.#waitingCount;
    this.#waitingCount = 0;
    for (let i = 0; i < count; i++) this.ready(this.#waiting[i]);
  }

  /** @internal An I/O has come back. */
  done(task: PerfTask, status: number): void {
    // Disks that people write complete from a promise, between turns.
    if (this.#exact || !this.#host.inTurn) this.#clock.tick();
    task.submitted = false;
    if (status !== 0) {
      this.#doneBadly(task, status);
      return;
    }
    this.#count(task);
    const verifier = this.#verifier;
    if (verifier !== null) {
      const visit = verifier.advance(task);
      if (visit === VISIT_GOES_ON) {
        this.#goOnVisit(task, verifier);
        return;
      }
      if (visit === VISIT_DIFFERS) {
        this.#differs(task, verifier);
        return;
      }
    }
    this.#next(task);
  }

  /** It can be sent now. */
  ready(task: PerfTask): void {
    if (this.#draining) this.#rest();
    else this.#send(task);
  }

  #count(task: PerfTask): void {
    const { stats } = this;
    stats[STAT_COMPLETED]++;
    const us = this.#clock.nowUs - this.#submitUs[task.index];
    stats[STAT_LATENCY_SUM] += us;
    if (us < stats[STAT_LATENCY_MIN]) stats[STAT_LATENCY_MIN] = us;
    if (us > stats[STAT_LATENCY_MAX]) stats[STAT_LATENCY_MAX] = us;
    this.histogram.tally(this.#clock, this.#submitUs, task.index);
  }

  /** Where the task goes next, and what it does there. */
  #next(task: PerfTask): void {
    const { stats } = this;
    if (this.#draining || stats[STAT_ISSUED] >= this.#iosMax) {
      this.#rest();
      return;
    }
    stats[STAT_ISSUED]++;
    if (this.#verifier !== null) this.#verifier.begin(task);
    else {
      task.place = this.#places.next();
      task.type = this.#mixed && this.#mix.below(100) < this.#readPercent ? IO_READ : this.#type;
    }
    this.#send(task);
  }

  /** The other steps of a visit; a job that drains leaves the place as it is. */
  #goOnVisit(task: PerfTask, verifier: Verifier): void {
    if (this.#draining) {
      verifier.giveUp(task);
      this.#rest();
      return;
    }
    this.stats[STAT_ISSUED]++;
    this.#send(task);
  }

  /**
   * Only in a turn: a disk may answer from a microtask, and then each I/O would make the microtask of the next, with
   * never a moment for the event loop in between.
   */
  #send(task: PerfTask): void {
    if (!this.#host.inTurn) {
      this.#waiting[this.#waitingCount++] = task;
      if (this.#waitingCount === 1) this.#wake();
      return;
    }
    const channel = this.#channel;
    const bytes = this.#ioBytes;
    const at = (this.#firstPlace + task.place) * bytes;
    task.submitted = true;
    task.late = false;
    this.#submitUs[task.index] = this.#clock.nowUs;
    let rc: number;
    switch (task.type) {
      case IO_READ:
        rc = channel.read(this.#segment, task.offset, at, bytes, taskDone, task);
        break;
      case IO_WRITE:
        rc = channel.write(this.#segment, task.offset, at, bytes, taskDone, task);
        break;
      case IO_UNMAP:
        rc = channel.unmap(at, bytes, taskDone, task);
        break;
      case IO_WRITE_ZEROES:
        rc = channel.writeZeroes(at, bytes, 0, taskDone, task);
        break;
      case IO_FLUSH:
        rc = channel.flush(at, bytes, taskDone, task);
        break;
      default:
        rc = EIO;
    }
    if (rc !== 0) this.#refused(task, rc);
  }

  #refused(task: PerfTask, rc: number): void {
    task.submitted = false;
    if (rc === ENOMEM) {
      this.#channel.queueIoWait(task);
      return;
    }
    this.#failed(task, rc);
    // Whoever is refused once would be refused again, at once and for ever.
    this.drain();
    this.#rest();
  }

  #doneBadly(task: PerfTask, status: number): void {
    if (status === ECANCELED && this.#isReset && !task.late) {
      this.stats[STAT_ABORTED]++;
      if (this.#draining) this.#rest();
      else this.#parked.push(task);
      return;
    }
    this.#failed(task, status);
    this.#verifier?.giveUp(task);
    this.#afterFailure(task);
  }

  #differs(task: PerfTask, verifier: Verifier): void {
    this.stats[STAT_FAILED]++;
    const offset = (this.#firstPlace + task.place) * this.#ioBytes;
    this.failure ??= { offset, type: IO_READ, status: EIO, difference: verifier.difference(task, offset) };
    verifier.giveUp(task);
    this.#afterFailure(task);
  }

  #failed(task: PerfTask | null, status: number): void {
    this.stats[STAT_FAILED]++;
    const offset = task === null ? 0 : (this.#firstPlace + task.place) * this.#ioBytes;
    this.failure ??= { offset, type: task === null ? 0 : task.type, status, difference: null };
  }

  #afterFailure(task: PerfTask): void {
    if (!this.#goOn) this.drain();
    this.#next(task);
  }

  #unpark(): void {
    for (let i = this.#parked.length; i > 0; i--) {
      const task = this.#parked.pop() as PerfTask;
      if (this.#draining) this.#rest();
      else this.#send(task);
    }
  }

  #rest(): void {
    this.#busy--;
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (this.#busy > 0 || this.#resetting || this.#ended) return;
    this.#ended = true;
    this.#clock.tick();
    this.stats[STAT_END] = this.#clock.nowUs;
    this.#onEnd();
  }
}

/** What the block layer calls: one function for all, the task says the rest. */
function taskDone(ctx: unknown, status: number): void {
  const task = ctx as PerfTask;
  (task.owner as Job).done(task, status);
}

function resetDone(ctx: unknown, status: number): void {
  (ctx as Job).afterReset(status);
}
