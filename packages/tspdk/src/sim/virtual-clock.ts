/**
 * Time in a simulation: one for all cores, moved by the scheduler and never by the machine.
 *
 * Reading a clock costs a little time, as on a machine: the amount is drawn from the simulation's seed. That is what makes loops that run
 * "for 50 µs" end. A test moves time by `advance`, also inside an event, which then looks like an event that took that long.
 */
import type { Clock } from '../env/clock.ts';
import type { Random } from '../env/random.ts';

/** The time of one simulation. */
export class SimTime {
  /** µs since the simulation began. */
  nowUs = 1;

  advance(us: number): void {
    this.nowUs += us;
  }

  /** Time in which no simulated thread used a CPU. */
  unusedUs = 0;
  /** Passes time as when all threads sleep, or the machine runs something else. */
  skip(us: number): void {
    this.nowUs += us;
    this.unusedUs += us;
  }
}

/** One core's view of it. */
export class VirtualClock implements Clock {
  nowUs: number;
  readonly #time: SimTime;
  readonly #random: Random;
  readonly #readUs: number;

  /** @param readUs the most that one reading takes; 0 makes reading free. */
  constructor(time: SimTime, random: Random, readUs: number) {
    this.#time = time;
    this.#random = random;
    this.#readUs = readUs;
    this.nowUs = time.nowUs;
  }

  tick(): void {
    if (this.#readUs > 0) this.#time.advance(this.#random.int(this.#readUs + 1));
    this.nowUs = this.#time.nowUs;
  }

  read(): number {
    this.tick();
    return this.nowUs;
  }

  /** As if the thread ran all the time but for what was skipped. */
  cpuUs(): number {
    return this.#time.nowUs - this.#time.unusedUs;
  }
}
