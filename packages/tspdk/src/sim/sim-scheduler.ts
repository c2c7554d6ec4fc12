/**
 * Which simulated thread runs next, and when time moves: all of it drawn from one seed.
 *
 * A round lets some of the ready threads run one callback each, in drawn order; inside one, at an atomic access, another thread may get in (see
 * isolation.ts). Then promises run until none is left, and the next round begins. A thread runs at most one callback a round, as a
 * real one runs its promises between two callbacks. Threads have weights that change now and then: one may starve while another
 * has many rounds.
 *
 * Time moves by small drawn steps, rarely by a long one, and to the next timer when nothing else could run. When no thread could ever run again
 * and the test has not ended, something was lost: `SimHang` says what each core was doing.
 */

import { Random } from '../env/random.ts';
import { coreLine, coreWord } from '../event/fabric.ts';
import type { Reactor } from '../event/reactor.ts';
import { runOn } from './isolation.ts';
import { SimCore } from './sim-core.ts';
import { Trace } from './trace.ts';
import { SimTime } from './virtual-clock.ts';

/** How a simulation differs from the next; drawn from the seed where not given. */
export interface SchedulerOptions {
  /** Probability that another thread gets in at an atomic access. */
  readonly preempt?: number;
  /** Most µs that one reading of a clock takes. */
  readonly readUs?: number;
  /** Most µs that pass from one round to the next. */
  readonly roundUs?: number;
  /** Virtual time after which the simulation counts as endless. Default 10 minutes. */
  readonly timeLimitUs?: number;
  /** Rounds after which it does. Default 200,000. */
  readonly roundLimit?: number;
}

/** Nothing can run any more, or the end does not come. The message says what each core was doing. */
export class SimHang extends Error {}

/** The threads of one simulation. */
export class SimScheduler {
  readonly random: Random;
  readonly time = new SimTime();
  readonly trace = new Trace();
  readonly cores: SimCore[] = [];
  readonly readUs: number;
  rounds = 0;
  readonly #preempt: number;
  readonly #roundUs: number;
  readonly #timeLimitUs: number;
  readonly #roundLimit: number;
  /** Threads that have run a callback in this round. */
  readonly #ran = new Set<SimCore>();
  #weights = new Map<SimCore, number>();
  #depth = 0;

  constructor(seed: number, options: SchedulerOptions = {}) {
    this.random = new Random(seed);
    this.#preempt = options.preempt ?? this.random.pick([0, 0.003, 0.03, 0.15]);
    this.readUs = options.readUs ?? this.random.pick([2, 10, 60]);
    this.#roundUs = options.roundUs ?? this.random.pick([0, 3, 30]);
    this.#timeLimitUs = options.timeLimitUs ?? 600e6;
    this.#roundLimit = options.roundLimit ?? 200_000;
  }

  /** A new simulated thread. */
  add(core: number): SimCore {
    const made = new SimCore(core, this.cores.length, this.time, this.random);
    this.cores.push(made);
    return made;
  }

  /** The thread is over. */
  remove(core: SimCore): void {
    core.alive = false;
    this.cores.splice(this.cores.indexOf(core), 1);
  }

  /** One round; promises run after it returns. @throws {SimHang} */
  round(): void {
    this.rounds++;
    if (this.#roundUs > 0) this.time.advance(this.random.int(this.#roundUs + 1));
    if (this.random.chance(0.005)) this.time.advance(this.random.int(5000));
    if (this.rounds > this.#roundLimit || this.time.nowUs > this.#timeLimitUs) {
      throw new SimHang(`no end after ${this.rounds} rounds and ${this.time.nowUs} µs\n${this.describe()}`);
    }
    if (this.rounds % 64 === 1) this.#draw();
    this.#ran.clear();
    let ready = this.cores.filter((core) => core.ready);
    if (ready.length === 0) {
      this.#skipToTimer();
      ready = this.cores.filter((core) => core.ready);
    }
    const favoured = ready.filter((core) => this.random.chance(this.#weights.get(core) ?? 1));
    const runners = favoured.length > 0 ? favoured : [this.random.pick(ready)];
    if (runners.length > 1) this.#shuffle(runners);
    for (const core of runners) if (!this.#ran.has(core) && core.ready) this.#run(core);
  }

  /** Another thread may get in here. Called at atomic accesses. */
  point(): void {
    if (this.#depth === 0 || this.#preempt === 0 || !this.random.chance(this.#preempt)) return;
    const others = this.cores.filter((core) => !this.#ran.has(core) && core.ready);
    if (others.length > 0) this.#run(this.random.pick(others));
  }

  #run(core: SimCore): void {
    this.#ran.add(core);
    const { kind, fn } = core.takeOne();
    this.trace.note((core.id << 8) | (kind << 4) | this.#depth);
    this.trace.note(this.time.nowUs);
    this.#depth++;
    try {
      runOn(core, fn);
    } finally {
      this.#depth--;
    }
    if (core.reactor !== null) {
      this.trace.note(core.reactor.stats.events);
      this.trace.note(core.reactor.stats.turns);
    }
  }

  /** How eager each thread is for the next rounds; one may get nothing while others can run. */
  #draw(): void {
    this.#weights = new Map(this.cores.map((core) => [core, this.random.pick([0, 0.05, 0.5, 1])]));
  }

  #shuffle(cores: SimCore[]): void {
    for (let i = cores.length - 1; i > 0; i--) {
      const j = this.random.int(i + 1);
      const other = cores[j];
      cores[j] = cores[i];
      cores[i] = other;
    }
  }

  #skipToTimer(): void {
    const next = Math.min(...this.cores.map((core) => core.nextTimerUs));
    if (next === Number.POSITIVE_INFINITY) {
      throw new SimHang(`nothing can run any more, and the test has not ended\n${this.describe()}`);
    }
    this.time.skip(Math.max(0, next - this.time.nowUs));
  }

  /** What each thread is doing, a line each. */
  describe(): string {
    return this.cores.map((core) => `  ${nameOf(core)}: ${core.describe()}${describeReactor(core.reactor)}`).join('\n');
  }
}

function nameOf(core: SimCore): string {
  return core.core < 0 ? 'the test' : `core ${core.core}`;
}

function describeReactor(reactor: Reactor | null): string {
  if (reactor === null) return '';
  const words = new Int32Array(reactor.fabric.words);
  const sleeping = words[coreLine(reactor.index) + coreWord.sleeping] === 1 ? ', wants its doorbell rung' : '';
  const work = reactor.hasWork() ? ', HAS WORK' : ', no work';
  const iterations = reactor.iterations > 0 ? `, ${reactor.iterations} iteration(s) under way` : '';
  return `; reactor state ${reactor.state}${sleeping}${work}${iterations}, ${reactor.stats.events} events in ${reactor.stats.turns} turns`;
}
