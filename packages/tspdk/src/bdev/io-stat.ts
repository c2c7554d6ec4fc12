/**
 * What a channel has done: operations, bytes and latency by kind, and how many failed. One Float64Array, so that
 * counting allocates nothing; sums over channels and reactors are plain additions (SPDK: struct spdk_bdev_io_stat).
 */
import type { Clock } from '../env/clock.ts';
import { IO_COPY, IO_READ, IO_UNMAP, IO_WRITE } from './io-type.ts';

/** Fields of one kind of operation. */
const OPS = 0;
const BYTES = 1;
const LATENCY_US = 2;
const LATENCY_MAX_US = 3;
const LATENCY_MIN_US = 4;
const FIELDS = 5;

/** Kinds, in order of their place in the array. A copy that the layer carries out counts as the reads and writes that it is made of. */
const KINDS = ['read', 'write', 'unmap', 'copy'] as const;
/** What is counted apart. */
export type IoStatKind = (typeof KINDS)[number];

/** What is counted of one kind of operation. Times are sums and extremes of all of them, µs. */
export interface IoCounts {
  readonly ops: number;
  readonly bytes: number;
  readonly latencyUs: number;
  readonly latencyMaxUs: number;
  /** 0 when there was none. */
  readonly latencyMinUs: number;
}

/** Failures: with no memory, aborted, any other. */
const ERRORS = KINDS.length * FIELDS;
const ERROR_NAMES = ['nomem', 'aborted', 'failed'] as const;
const WORDS = ERRORS + ERROR_NAMES.length;

/** io type -> index of its first field, -1 when it is not counted. */
const SLOT = new Int32Array(32).fill(-1);
SLOT[IO_READ] = 0;
SLOT[IO_WRITE] = FIELDS;
SLOT[IO_UNMAP] = 2 * FIELDS;
SLOT[IO_COPY] = 3 * FIELDS;

/** SPDK's ticks are the processor's; ours are microseconds, and `tick_rate` says so. */
export const TICKS_PER_SECOND = 1_000_000;

/** What to forget: SPDK's `bdev_reset_stat_mode`. */
export type ResetStatMode = 'all' | 'maxmin' | 'error' | 'none';
export const RESET_STAT_MODES: readonly ResetStatMode[] = ['all', 'maxmin', 'error', 'none'];

/** Counters of a channel, or the sum of several. */
export class IoStat {
  readonly words: Float64Array;

  constructor(words: Float64Array = new Float64Array(WORDS)) {
    this.words = words;
  }

  /** Data path: one operation that was submitted at `submitUs[index]` and ends now. Doubles come in arrays, so that none is allocated. */
  count(type: number, bytes: number, clock: Clock, submitUs: Float64Array, index: number): void {
    const at = SLOT[type];
    if (at < 0) return;
    const w = this.words;
    const latencyUs = clock.nowUs - submitUs[index];
    const ops = w[at + OPS];
    w[at + OPS] = ops + 1;
    w[at + BYTES] += bytes;
    w[at + LATENCY_US] += latencyUs;
    if (latencyUs > w[at + LATENCY_MAX_US]) w[at + LATENCY_MAX_US] = latencyUs;
    const min = w[at + LATENCY_MIN_US];
    if (ops === 0 || latencyUs < min || min < 0) w[at + LATENCY_MIN_US] = latencyUs;
  }

  /** Data path: one operation that took no time. */
  countInstant(type: number, bytes: number): void {
    const at = SLOT[type];
    this.words[at + OPS]++;
    this.words[at + BYTES] += bytes;
    this.words[at + LATENCY_MIN_US] = 0;
  }

  /** Data path. */
  countError(status: number): void {
    this.words[ERRORS + (status === -12 ? 0 : status === -125 ? 1 : 2)]++;
  }

  /** Adds another's numbers to these. */
  add(other: IoStat): void {
    for (let kind = 0; kind < KINDS.length; kind++) {
      const at = kind * FIELDS;
      const had = this.words[at + OPS] > 0;
      if (other.words[at + OPS] === 0) continue;
      this.words[at + OPS] += other.words[at + OPS];
      this.words[at + BYTES] += other.words[at + BYTES];
      this.words[at + LATENCY_US] += other.words[at + LATENCY_US];
      this.words[at + LATENCY_MAX_US] = Math.max(this.words[at + LATENCY_MAX_US], other.words[at + LATENCY_MAX_US]);
      const min = other.words[at + LATENCY_MIN_US];
      if (min >= 0) {
        const own = this.words[at + LATENCY_MIN_US];
        this.words[at + LATENCY_MIN_US] = had && own >= 0 ? Math.min(own, min) : min;
      }
    }
    for (let i = 0; i < ERROR_NAMES.length; i++) this.words[ERRORS + i] += other.words[ERRORS + i];
  }

  reset(mode: ResetStatMode): void {
    if (mode === 'all') this.words.fill(0);
    if (mode === 'maxmin' || mode === 'all') {
      for (let kind = 0; kind < KINDS.length; kind++) {
        this.words[kind * FIELDS + LATENCY_MAX_US] = 0;
        // Unknown until the next I/O; with none counted it is 0.
        this.words[kind * FIELDS + LATENCY_MIN_US] = mode === 'maxmin' ? -1 : 0;
      }
    }
    if (mode === 'error') this.words.fill(0, ERRORS);
  }

  /** What was counted of one kind. */
  counts(kind: IoStatKind): IoCounts {
    const at = KINDS.indexOf(kind) * FIELDS;
    const [ops, bytes, latencyUs, latencyMaxUs, latencyMinUs] = this.words.subarray(at, at + FIELDS);
    return { ops, bytes, latencyUs, latencyMaxUs, latencyMinUs: Math.max(0, latencyMinUs) };
  }

  /** The fields of one bdev in the answer of `bdev_get_iostat`. */
  toJson(): Record<string, unknown> {
    const json: Record<string, unknown> = {};
    const names = { read: 'read', write: 'written', unmap: 'unmapped', copy: 'copied' } as const;
    const counts = KINDS.map((kind) => ({ kind, ...this.counts(kind) }));
    for (const { kind, ops, bytes } of counts) {
      json[`bytes_${names[kind]}`] = bytes;
      json[`num_${kind}_ops`] = ops;
    }
    for (const { kind, latencyUs, latencyMaxUs, latencyMinUs } of counts) {
      json[`${kind}_latency_ticks`] = Math.round(latencyUs);
      json[`max_${kind}_latency_ticks`] = Math.round(latencyMaxUs);
      json[`min_${kind}_latency_ticks`] = Math.round(latencyMinUs);
    }
    const errors: Record<string, number> = {};
    ERROR_NAMES.forEach((name, i) => {
      if (this.words[ERRORS + i] > 0) errors[name] = this.words[ERRORS + i];
    });
    json.io_error = errors;
    return json;
  }
}
