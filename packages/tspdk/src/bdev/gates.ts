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
import type { Qos } from './qos.ts';
import { ECANCELED } from './status.ts';
import type { ThreadChannel } from './thread-channel.ts';

export class Gates implements Retry {
  readonly #channel: ThreadChannel;
  #limited: BdevIo[] = [];
  #locked: BdevIo[] = [];
  #retryPending = false;
  /** Limits that refused the first of the limited when it was last looked at, a mask of kinds; 0: nothing is limited. As counted in `#qos`. */
  #refusedBy = 0;
  #qos: Qos | null = null;

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
    const waits = this.#limited.length > 0;
    const refusedBy = qos === null || waits ? 0 : qos.take(io);
    if (qos !== null && (waits || refusedBy !== 0)) {
      io.state = IO_QUEUED;
      this.#limited.push(io);
      if (!waits) this.#looked(refusedBy);
      this.#retryInTime();
    } else this.#admitToRange(io);
  }

  /** Counts what waits here, which other cores must know (qos.ts). The limits may be gone meanwhile, their counts are not. */
  #looked(refusedBy: number): void {
    if (refusedBy === 0 && this.#refusedBy === 0) return;
    this.#qos = this.#channel.bdev.qos ?? this.#qos;
    this.#qos?.looked(this.#refusedBy, refusedBy);
    this.#refusedBy = refusedBy;
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
    let refusedBy = 0;
    for (; taken < this.#limited.length; taken++) {
      refusedBy = qos === null ? 0 : qos.take(this.#limited[taken]);
      if (refusedBy !== 0) break;
    }
    const free = this.#limited.splice(0, taken);
    this.#looked(refusedBy);
    for (const io of free) this.#admitToRange(io);
    if (this.#limited.length > 0) this.#retryInTime();
  }

  /** Takes `io` out. False when it does not wait here. */
  remove(io: BdevIo): boolean {
    const before = this.count;
    this.#limited = this.#limited.filter((each) => each !== io);
    this.#locked = this.#locked.filter((each) => each !== io);
    if (this.#limited.length === 0) this.#looked(0);
    return this.count < before;
  }

  /** Takes all out. */
  removeAll(): BdevIo[] {
    const all = [...this.#limited, ...this.#locked];
    this.#limited = [];
    this.#locked = [];
    this.#looked(0);
    return all;
  }
}
