/**
 * How many I/Os a disk has under way over all cores, looked at every so often (SPDK: spdk_bdev_set_qd_sampling_period).
 *
 * At each period every core writes what its channels have under way to its own shared word; the app core adds the words up. So the sum is of moments up to a period apart. The time
 * the disk was busy is that between two looks of which the later found something under way: with a loop that sleeps the looks are later than the period says.
 */
import type { Bdev } from './bdev.ts';
import type { Retry } from './manager.ts';

export class DepthSampler implements Retry {
  readonly periodUs: number;
  readonly #bdev: Bdev;
  readonly #words: Int32Array;
  #stopped = false;
  #lastUs: number;
  /** On the app core, as of the last look. */
  depth = 0;
  /** µs with something under way, and the same times the depth. On the app core. */
  busyUs = 0;
  weightedUs = 0;

  /** Looks at once, and from then on every `periodUs`. @param state a word for each core */
  constructor(bdev: Bdev, state: SharedArrayBuffer, periodUs: number) {
    this.#bdev = bdev;
    this.#words = new Int32Array(state);
    this.periodUs = periodUs;
    this.#lastUs = bdev.manager.reactor.clock.nowUs;
    this.retry();
  }

  stop(): void {
    this.#stopped = true;
  }

  retry(): void {
    if (this.#stopped) return;
    const { channels, manager } = this.#bdev;
    const { reactor } = manager;
    let own = 0;
    for (const channel of channels) own += channel.outstanding;
    Atomics.store(this.#words, reactor.index, own);
    if (reactor.core === reactor.app.mainCore) this.#sumUp(reactor.clock.nowUs);
    manager.retryAfter(this.periodUs, this);
  }

  #sumUp(nowUs: number): void {
    let depth = 0;
    for (let i = 0; i < this.#words.length; i++) depth += Atomics.load(this.#words, i);
    const elapsedUs = nowUs - this.#lastUs;
    this.#lastUs = nowUs;
    this.depth = depth;
    if (depth === 0) return;
    this.busyUs += elapsedUs;
    this.weightedUs += elapsedUs * depth;
  }
}
