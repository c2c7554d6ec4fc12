/**
 * How long a core sleeps while a device works for it, or a client sends a large payload through a unix socket, and when it is back.
 *
 * A core that sleeps until the completion comes is woken too late: on virtual machines that alone takes 20 to 50 µs, in which the device has nothing to do. One that polls all
 * the while is there at once, and takes a core for it. So it sleeps for the part of the wait in which nothing comes usually, and polls for the rest. What is usual follows what has been seen:
 * quickly to shorter waits, slowly to longer ones, so that a nap is over before most completions; how much later than asked for a nap ends is seen as well.
 *
 * Completions of one interrupt trickle in one after the other: so short waits say nothing of the device, and none is slept in.
 *
 * A nap that a completion has ended began too long: it came before the core was awake, so the wait counts as that much shorter, and the next nap is shorter too. A wait that lasts far longer than is
 * usual is slept through. Plain numbers; one reactor's loop.
 */
import type { Clock } from '../env/clock.ts';

/** Less is not a wait, µs. */
const GRACE_US = 10;
/** The weights of a wait that was shorter than usual, and of one that was longer. */
const SHORTER = 1 / 4;
const LONGER = 1 / 16;
/** How late naps end, µs: what is taken at first, and at most, as one that was put off by another process says nothing; the weight of a nap, and what a wait without one takes off, so that it is tried again. */
const LATE_US = 20;
const LATE_US_MAX = 100;
const LATE_WEIGHT = 1 / 8;
const LATE_DECAY = 1 / 1024;
/** A nap is to end earlier than the completion by so many times what naps are late. */
const SPARE = 2;
/** Waits as many times longer than usual, and as many µs, are polled for; what lasts longer is slept through. */
const OVERDUE = 2;
const OVERDUE_US = 100;

export class DeviceWait {
  #usualUs = 0;
  #lateUs = LATE_US;
  /** Since when there is nothing to do; negative: there is. */
  #sinceUs = -1;
  #napped = false;
  /** What the wait counts for when the turn after the nap finds something; negative: another turn has been in between. */
  #nappedUs = -1;

  /** Whether the core waits. */
  get waits(): boolean {
    return this.#sinceUs >= 0;
  }

  /** There is nothing to do now, as `clock` says. Returns for how long to sleep: 0 means poll, Infinity until something comes. A time as an argument would be a number on the heap each time. */
  napUs(clock: Clock): number {
    const { nowUs } = clock;
    this.#nappedUs = -1;
    if (this.#sinceUs < 0) {
      this.#sinceUs = nowUs;
      this.#napped = false;
    }
    const waitedUs = nowUs - this.#sinceUs;
    if (waitedUs > this.#usualUs * OVERDUE + OVERDUE_US) return Number.POSITIVE_INFINITY;
    if (this.#napped || waitedUs < GRACE_US) return 0;
    return Math.max(0, this.#usualUs - waitedUs - this.#lateUs * SPARE);
  }

  /** A nap that was to last `askedUs` took `tookUs`, up to `nowUs`. */
  napped(askedUs: number, tookUs: number, nowUs: number): void {
    this.#napped = true;
    const lateUs = tookUs - askedUs;
    if (lateUs >= 0) this.#lateUs += (Math.min(lateUs, LATE_US_MAX) - this.#lateUs) * LATE_WEIGHT;
    // What came did so before the core was awake.
    this.#nappedUs = Math.max(0, nowUs - this.#sinceUs - Math.max(this.#lateUs, lateUs));
  }

  /** There is something to do. */
  ended(nowUs: number): void {
    // Of a wait that was slept through only this much is known to be usual: it was long.
    const longUs = this.#usualUs * OVERDUE + OVERDUE_US;
    const waitUs = Math.min(this.#nappedUs >= 0 ? this.#nappedUs : nowUs - this.#sinceUs, longUs);
    if (this.#napped || waitUs >= GRACE_US) {
      this.#usualUs += (waitUs - this.#usualUs) * (waitUs < this.#usualUs ? SHORTER : LONGER);
    }
    if (!this.#napped && waitUs >= GRACE_US) this.#lateUs -= this.#lateUs * LATE_DECAY;
    this.#sinceUs = -1;
    this.#nappedUs = -1;
  }
}
