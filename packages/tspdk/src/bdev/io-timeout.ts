/**
 * I/Os that take too long: who opened a disk may ask to be told of them (SPDK: spdk_bdev_set_timeout). Nothing happens to such an I/O by itself; who hears of it may abort it, or
 * reset the disk.
 *
 * The I/Os of a descriptor that wants to know carry a mark in their flags; all others pay nothing. The pool is looked through a few times in each time-out.
 */
import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import { type BdevIo, IO_FREE } from './bdev-io.ts';
import { IO_FLAG_MARK_BITS, IO_FLAG_MARK_SHIFT } from './io-type.ts';
import type { BdevManager, Retry } from './manager.ts';
import { offsetIn, type ThreadChannel } from './thread-channel.ts';

/** An I/O that was submitted more than the time-out ago and has not ended. */
export interface OverdueIo {
  /** As its submitter gave it: what `BdevChannel.abort` takes. */
  readonly ctx: unknown;
  /** One of IO_READ, ... */
  readonly type: number;
  /** As they are seen through the descriptor: of a disk whose metadata is hidden, those of the data. */
  readonly byteOffset: number;
  readonly bytes: number;
  readonly elapsedUs: number;
}

/** Called on the I/O's own thread; again at each look as long as the I/O has not ended. */
export type OnOverdue = (io: OverdueIo) => void;

/** How often in a time-out, and how seldom at most. */
const LOOKS = 4;
const LOOK_MAX_US = 1_000_000;
const TIMEOUT_MAX_US = 86_400_000_000;
const MARKS = 2 ** IO_FLAG_MARK_BITS - 1;

/** @throws {SpdkError} EINVAL out of range */
function check(timeoutUs: number): number {
  if (timeoutUs > 0 && timeoutUs <= TIMEOUT_MAX_US) return timeoutUs;
  throw new SpdkError('EINVAL', `time-out ${timeoutUs} µs, limit above 0 to ${TIMEOUT_MAX_US}`);
}

export class TimeoutWatch {
  /** What its I/Os carry in their flags. */
  readonly mark: number;
  readonly #manager: BdevManager;
  #timeoutUs: number;
  #onOverdue: OnOverdue;
  #stopped = false;
  /** The look that is due next. */
  #next: Retry | null = null;

  /** @throws {SpdkError} EINVAL out of range; EMFILE when too many descriptors of this reactor have a time-out */
  constructor(manager: BdevManager, timeoutUs: number, onOverdue: OnOverdue) {
    this.#timeoutUs = check(timeoutUs);
    let number = 1;
    while (manager.timeouts.has(number << IO_FLAG_MARK_SHIFT)) number++;
    if (number > MARKS) throw new SpdkError('EMFILE', `${MARKS} descriptors have a time-out already`);
    this.#manager = manager;
    this.#onOverdue = onOverdue;
    this.mark = number << IO_FLAG_MARK_SHIFT;
    manager.timeouts.add(this.mark);
    this.#lookLater();
  }

  /** Another limit, for what is under way too. @throws {SpdkError} EINVAL out of range */
  change(timeoutUs: number, onOverdue: OnOverdue): void {
    this.#timeoutUs = check(timeoutUs);
    this.#onOverdue = onOverdue;
    this.#lookLater();
  }

  /** I/Os that carry the mark still may be under way: it is used again only after they have ended. */
  stop(): void {
    this.#stopped = true;
  }

  #lookLater(): void {
    const look: Retry = {
      retry: () => {
        if (this.#next === look) this.#look();
      },
    };
    this.#next = look;
    this.#manager.retryAfter(Math.min(this.#timeoutUs / LOOKS, LOOK_MAX_US), look);
  }

  #look(): void {
    const { pool, reactor } = this.#manager;
    const { nowUs } = reactor.clock;
    const marked = pool.all.filter(
      (io) => io.state !== IO_FREE && (io.flags & (MARKS << IO_FLAG_MARK_SHIFT)) === this.mark,
    );
    if (this.#stopped) {
      if (marked.length === 0) this.#manager.timeouts.delete(this.mark);
      else this.#lookLater();
      return;
    }
    const overdue = marked
      .map((io) => ({ io, ctx: io.ctx, elapsedUs: nowUs - pool.submitUs[io.index] }))
      .filter(({ elapsedUs }) => elapsedUs >= this.#timeoutUs)
      .sort((a, b) => b.elapsedUs - a.elapsedUs);
    for (const { io, ctx, elapsedUs } of overdue) {
      // Whoever was told of an earlier one may have ended this one.
      if (io.ctx === ctx && offsetIn(io, io.sink as ThreadChannel) >= 0) this.#tell(io, elapsedUs);
    }
    this.#lookLater();
  }

  #tell(io: BdevIo, elapsedUs: number): void {
    const { ctx, type } = io;
    const channel = io.sink as ThreadChannel;
    const { metadata } = channel.bdev;
    const byteOffset = metadata?.inMemory(io, offsetIn(io, channel)) ?? offsetIn(io, channel);
    const bytes = metadata?.inMemory(io, io.bytes) ?? io.bytes;
    const before = current.thread;
    current.thread = channel.thread;
    try {
      this.#onOverdue({ ctx, type, byteOffset, bytes, elapsedUs });
    } catch (error) {
      this.#manager.onCallbackError(error);
    } finally {
      current.thread = before;
    }
  }
}
