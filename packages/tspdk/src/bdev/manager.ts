/**
 * The block layer on one reactor: which disks there are, the pool of I/Os, and the completions that wait for their turn.
 *
 * A module may complete an I/O inside `submit`. The submitter must not hear of it before its own call has returned, or a callback
 * that submits again would dig the stack deeper with each I/O. So what is completed inside any submit is kept here and
 * reported when the reactor polls this object, once a turn; everything else is reported at once. One reactor's thread only.
 */

import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { makeSegment, type Segment } from '../env/segment.ts';
import type { Pollable } from '../event/pollable.ts';
import { localKey, type Reactor } from '../event/reactor.ts';
import type { Bdev } from './bdev.ts';
import { type BdevIo, BdevIoPool, type IoWaitEntry } from './bdev-io.ts';
import type { SplitIo } from './split.ts';

/** Wants to be called again at a time, by `retryAfter`. */
export interface Retry {
  retry(): void;
}

/** When that is. */
export interface RetryTimer {
  readonly at: number;
  readonly what: Retry;
}

/** Values of a byte. */
export const OCTETS = 256;

/** Has byte n of a segment hold n. */
export function fillOctets({ u8 }: Segment): void {
  for (let i = 0; i < OCTETS; i++) u8[i] = i;
}

export class BdevManager implements Pollable {
  readonly name = 'bdev';
  readonly reactor: Reactor;
  readonly pool: BdevIoPool;
  /** By name and by alias. */
  readonly byName = new Map<string, Bdev>();
  readonly byId = new Map<number, Bdev>();
  /** How many `submit`s of modules are on the stack. */
  depth = 0;
  /** Marks of descriptors with a time-out: io-timeout.ts. */
  readonly timeouts = new Set<number>();
  /** Splits that are not in use. */
  readonly splits: SplitIo[] = [];
  #deferred: BdevIo[] = [];
  #deferredCount = 0;
  #spare: BdevIo[] = [];
  readonly #retries = new Set<RetryTimer>();
  #zeroes: Segment | null = null;
  #octets: Segment | null = null;
  readonly #waker: Retry = { retry: () => this.pool.wake() };
  readonly #errors: unknown[] = [];

  constructor(reactor: Reactor) {
    this.reactor = reactor;
    this.pool = new BdevIoPool({ ios: limits.bdev_ios_max, growBy: limits.bdev_io_grow }, (entry, owner) => {
      const thread = current.thread;
      current.thread = owner;
      try {
        entry.onReady();
      } catch (error) {
        this.onCallbackError(error);
      } finally {
        current.thread = thread;
      }
    });
    reactor.addPollable(this);
  }

  /** @throws {SpdkError} ENODEV when there is no such disk here, or not every core has it yet. */
  get(name: string): Bdev {
    const bdev = this.byName.get(name);
    if (bdev === undefined) throw new SpdkError('ENODEV', `no bdev named "${name}"`);
    if (bdev.attaching) throw new SpdkError('ENODEV', `bdev "${name}" is being made`);
    return bdev;
  }

  /** Its name, its aliases and its uuid. */
  namesOf(bdev: Bdev): string[] {
    return [...this.byName].flatMap(([name, named]) => (named === bdev ? name : []));
  }

  /** Zeroes to write from. Shared with every reactor once the layer is initialised; never written to. */
  get zeroes(): Segment {
    this.#zeroes ??= makeSegment(0, new SharedArrayBuffer(limits.bdev_zero_bytes));
    return this.#zeroes;
  }
  set zeroes(segment: Segment) {
    this.#zeroes = segment;
  }

  /** Each byte at its place, to write from: what a corrupted write stores needs no buffer so. As `zeroes` shared, and never written to. */
  get octets(): Segment {
    if (this.#octets === null) {
      this.#octets = makeSegment(0, new SharedArrayBuffer(OCTETS));
      fillOctets(this.#octets);
    }
    return this.#octets;
  }
  set octets(segment: Segment) {
    this.#octets = segment;
  }

  /** Reports `io` in the next poll. */
  defer(io: BdevIo): void {
    this.#deferred[this.#deferredCount++] = io;
    if (this.#deferredCount === 1) this.reactor.kick();
  }

  /** Calls `what.retry()` once, not before `delayUs` from now. */
  retryAfter(delayUs: number, what: Retry): RetryTimer {
    const timer = { at: this.reactor.clock.nowUs + delayUs, what };
    this.#retries.add(timer);
    this.reactor.kick();
    return timer;
  }

  /** It is not called any more, if it has not been. */
  cancelRetry(timer: RetryTimer): void {
    this.#retries.delete(timer);
  }

  /** Has `entry` called on `thread` when there is a BdevIo for one of `rank`; never from here. */
  waitForIo(entry: IoWaitEntry, thread: unknown, rank: number): void {
    this.pool.wait(entry, thread, rank);
    // Nothing may be under way whose end would wake it.
    if (this.pool.available(rank) > 0) this.retryAfter(0, this.#waker);
  }

  poll(): number {
    let done = 0;
    const n = this.#deferredCount;
    if (n > 0) {
      const batch = this.#deferred;
      this.#deferred = this.#spare;
      this.#spare = batch;
      this.#deferredCount = 0;
      for (let i = 0; i < n; i++) {
        const io = batch[i];
        this.#finish(io);
      }
      done = n;
    }
    if (this.#retries.size > 0) done += this.#runRetries(this.reactor.clock.nowUs);
    if (this.#errors.length > 0) throw this.#errors.shift();
    return done;
  }

  nextPollUs(): number {
    if (this.#deferredCount > 0 || this.#errors.length > 0) return 0;
    let next = Number.POSITIVE_INFINITY;
    for (const retry of this.#retries) next = Math.min(next, retry.at);
    return next;
  }

  /** A callback that throws must not take the rest of the batch with it. */
  #finish(io: BdevIo): void {
    try {
      io.sink.finish(io);
    } catch (error) {
      this.onCallbackError(error);
    }
  }

  /** Somebody else's code threw; the reactor hears of it once the work at hand is done. */
  onCallbackError(error: unknown): void {
    this.#errors.push(error);
    this.reactor.kick();
  }

  /** What is added meanwhile has its turn next time. */
  #runRetries(nowUs: number): number {
    const due: RetryTimer[] = [];
    for (const timer of this.#retries) if (timer.at <= nowUs) due.push(timer);
    for (const timer of due) this.#retries.delete(timer);
    for (const { what } of due) this.#retry(what);
    return due.length;
  }

  #retry(what: Retry): void {
    try {
      what.retry();
    } catch (error) {
      this.onCallbackError(error);
    }
  }
}

export const bdevManager = localKey('bdev', (reactor) => new BdevManager(reactor));
