/**
 * What can hold an I/O of a user back before it reaches the disk, on one channel: a rate limit, then a lock of its range. A channel has gates only while
 * its disk has a limit or a lock; without, an I/O pays one test for null.
 *
 * A reset takes out what waits here, and lets nothing in: what comes while it is under way ends at once (reset.ts).
 *
 * Each gate is a queue in order of submission. What a limit lets go goes to the locks, and what those let go to the disk, so that a lock that was applied while an
 * I/O waited for its turn holds it too.
 */
import { type BdevIo, IO_QUEUED } from './bdev-io.ts';
import { isHeldBy } from './locked-range.ts';
import type { Retry } from './manager.ts';
import { ECANCELED } from './status.ts';
import type { ThreadChannel } from './thread-channel.ts';

export class Gates implements Retry {
  readonly #channel: ThreadChannel;
  #limited: BdevIo[] = [];
  #locked: BdevIo[] = [];
  #retryPending = false;

  constructor(channel: ThreadChannel) {
    this.#channel = channel;
  }

  /** I/Os that wait here. */
  get count(): number {
    return this.#limited.length + this.#locked.length;
  }

  holds(io: BdevIo): boolean {
    return this.#limited.includes(io) || this.#locked.includes(io);
  }

  admit(io: BdevIo): void {
    if (this.#channel.resetting > 0) {
      this.#channel.fail(io, ECANCELED);
      return;
    }
    const { qos } = this.#channel.bdev;
    if (qos !== null && (this.#limited.length > 0 || !qos.take(io))) {
      io.state = IO_QUEUED;
      this.#limited.push(io);
      this.#retryInTime();
    } else this.#admitToRange(io);
  }

  #admitToRange(io: BdevIo): void {
    if (this.#isLocked(io)) {
      io.state = IO_QUEUED;
      this.#locked.push(io);
    } else this.#channel.carry(io);
  }

  #isLocked(io: BdevIo): boolean {
    const { lockedRanges, lockedTypes } = this.#channel.bdev;
    for (const range of lockedRanges) if (isHeldBy(io, io.byteOffset, range, lockedTypes)) return true;
    return false;
  }

  /** A range may be free now. */
  lifted(): void {
    if (this.#locked.length === 0) return;
    const waiting = this.#locked;
    this.#locked = [];
    for (const io of waiting) this.#admitToRange(io);
  }

  #retryInTime(): void {
    const { bdev, manager } = this.#channel;
    if (this.#retryPending || bdev.qos === null) return;
    this.#retryPending = true;
    manager.retryAfter(bdev.qos.usToNextSlice(), this);
  }

  /** Another time slice has begun, or the limits are gone. */
  retry(): void {
    this.#retryPending = false;
    const { qos } = this.#channel.bdev;
    let taken = 0;
    while (taken < this.#limited.length && (qos === null || qos.take(this.#limited[taken]))) taken++;
    for (const io of this.#limited.splice(0, taken)) this.#admitToRange(io);
    if (this.#limited.length > 0) this.#retryInTime();
  }

  /** Takes `io` out. False when it does not wait here. */
  remove(io: BdevIo): boolean {
    const before = this.count;
    this.#limited = this.#limited.filter((each) => each !== io);
    this.#locked = this.#locked.filter((each) => each !== io);
    return this.count < before;
  }

  /** Takes all out. */
  removeAll(): BdevIo[] {
    const all = [...this.#limited, ...this.#locked];
    this.#limited = [];
    this.#locked = [];
    return all;
  }
}
