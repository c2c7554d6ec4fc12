/**
 * How many requests a connection lets gather before it looks at them: the pace of receiving.
 *
 * A server that is faster than its client finds one request at a time, however many are under way, and pays system calls for each. If it waits,
 * it finds ten of them for the price of one, and the reactor sleeps meanwhile. The client loses nothing, as long as it has other
 * requests under way, and that is all the art: whether it has cannot be seen from what comes, for to a fast server one request at a time looks the same
 * at depth 1 and at depth 32. So it is tried. From time to time one wait is for twice as many, and only if they come, and in proportionate time, more
 * was under way, and the usual wait costs the client nothing. Otherwise it becomes shorter, and in the end none is made; the next trial comes
 * later and later.
 *
 * All in proportion to the time between requests, as clients differ by a factor of ten. How one waits is the receiver's (for bytes, or for time).
 * Belongs to one connection; plain numbers.
 */
import { limits } from '../env/limits.ts';

/** Requests worth waiting for. More save little. */
const WANTED = 12;
/** Fewer than this are not worth a wait. */
const POOR = 2.5;
/** A trial where no wait is made is for so many requests, and finds at least so many of them. */
const TRIAL_WANTED = 8;
const TRIAL_FOUND = 7;
/** A trial of a wait is for so many times more, and finds at least this share of what it is longer for. */
const TRIAL_FACTOR = 2;
const TRIAL_GAIN = 0.6;
/** Batches between trials of a wait: at first, and at most when they bring nothing new. */
const TRIAL_EVERY_MIN = 32;
const TRIAL_EVERY_MAX = 512;
/** Batches between trials where no wait is made, at first and at most. */
const REST_MIN = 64;
const REST_MAX = 4096;
const LONGER = 1.25;
const SHORTER = 0.7;
/** The weight of a new batch in the averages. */
const WEIGHT = 1 / 8;

export class Pace {
  /** The usual wait is for so many requests; 1: no wait. */
  #want = 1;
  /** Average of requests that a usual wait finds, and of µs between requests. */
  #found = 1;
  #apart: number = limits.nbd_gather_us_min;
  #lastUs = 0;
  /** The wait now under way is a trial. */
  #trial = false;
  #untilTrial = REST_MIN;
  #rest = REST_MIN;
  #trialEvery = TRIAL_EVERY_MIN;
  /** While a batch is served, more come: a wait for time is so much shorter. */
  #share = 1;
  readonly #byTime: boolean;
  /** Of the wait that `next` asked for: in what time so many requests should come, µs. */
  expectedUs = 0;

  /** @param byTime the waits are for time: they end no earlier when the requests are there. */
  constructor(byTime: boolean) {
    this.#byTime = byTime;
  }

  /** A receive brought `started` requests at `nowUs`. Returns for how many to wait now; 1: do not wait. */
  next(started: number, nowUs: number): number {
    if (started === 0) return 1; // part of a request: the rest of it is under way
    const apart = Math.min((nowUs - this.#lastUs) / started, limits.nbd_gather_us_max);
    this.#lastUs = nowUs;
    this.#apart += (apart - this.#apart) * WEIGHT;
    if (this.#trial) this.#judge(started);
    else if (this.#want > 1) this.#adjust(started);
    let want = this.#want;
    if (--this.#untilTrial <= 0) {
      this.#trial = true;
      want = want > 1 ? want * TRIAL_FACTOR : TRIAL_WANTED;
    }
    if (want > 1) {
      const us = want * this.#apart * this.#share;
      this.expectedUs = Math.max(limits.nbd_gather_us_min, Math.min(us, limits.nbd_gather_us_max));
    }
    return want;
  }

  #judge(started: number): void {
    this.#trial = false;
    if (this.#want === 1) {
      if (started < TRIAL_FOUND) {
        this.#giveUp();
        return;
      }
      this.#want = TRIAL_WANTED / TRIAL_FACTOR;
      this.#found = this.#want;
      this.#rest = REST_MIN;
      this.#trialEvery = TRIAL_EVERY_MIN;
      this.#untilTrial = TRIAL_EVERY_MIN;
      return;
    }
    const more = started - this.#found >= this.#want * this.#share * (TRIAL_FACTOR - 1) * TRIAL_GAIN;
    this.#trialEvery = more && this.#want < WANTED ? TRIAL_EVERY_MIN : Math.min(this.#trialEvery * 2, TRIAL_EVERY_MAX);
    this.#untilTrial = this.#trialEvery;
    if (more) this.#want = Math.min(WANTED, this.#want * LONGER);
    else this.#shorten();
  }

  #adjust(started: number): void {
    this.#found += (started - this.#found) * WEIGHT;
    if (this.#byTime) this.#share = Math.min(1, this.#share * (this.#found > this.#want * 1.2 ? 0.95 : 1.02));
    if (this.#found < this.#want * SHORTER) this.#shorten();
  }

  /** What was waited for does not come. */
  #shorten(): void {
    this.#want *= SHORTER;
    this.#found = this.#want;
    if (this.#want < POOR) this.#giveUp();
  }

  #giveUp(): void {
    this.#want = 1;
    this.#untilTrial = this.#rest;
    this.#rest = Math.min(this.#rest * 2, REST_MAX);
  }
}
