/**
 * `simulate`: an application's reactors in this isolate, under a seeded scheduler and a virtual clock.
 *
 * The test's body is ordinary async code beside the simulated threads. It may await the application, `sim.sleep` and promises that
 * simulated threads settle; never real timers, files or sockets, which a seed could not replay. Same seed, same code: same
 * run, which `sim.trace.hash` shows. One simulation at a time in one isolate.
 *
 *   await simulate(17, {}, async (sim) => {
 *     assert.equal(await sim.start({ cores: [0, 1] }, (app) => app.stop(0)), 0);
 *   });
 */
import type { Random } from '../env/random.ts';
import { App, type StartFn } from '../event/app.ts';
import type { AppOptions } from '../event/app-options.ts';
import type { Reactor } from '../event/reactor.ts';
import { type LogRecord, log } from '../log/index.ts';
import { isolate, runOn } from './isolation.ts';
import type { SimCore } from './sim-core.ts';
import { type LaunchFaults, SimPlatform } from './sim-platform.ts';
import { type SchedulerOptions, SimScheduler } from './sim-scheduler.ts';
import type { Trace } from './trace.ts';

/** Options of one simulation. */
export interface SimOptions extends SchedulerOptions {
  /** Log lines to keep for the message of a failure. Default 20. */
  readonly logLines?: number;
}

/** A running simulation, as the test sees it. */
export class Sim {
  readonly seed: number;
  readonly scheduler: SimScheduler;
  /** What the application has logged. */
  readonly logs: LogRecord[] = [];
  readonly #outside: SimCore;
  #platform: SimPlatform | null = null;

  constructor(seed: number, options: SimOptions) {
    this.seed = seed;
    this.scheduler = new SimScheduler(seed, options);
    this.#outside = this.scheduler.add(-1);
  }

  /** The simulation's randomness: draw from it, never from Math.random. */
  get random(): Random {
    return this.scheduler.random;
  }
  get trace(): Trace {
    return this.scheduler.trace;
  }
  /** Virtual µs since the simulation began. */
  get nowUs(): number {
    return this.scheduler.time.nowUs;
  }
  /** Passes time at once: inside an event it looks as if the event took that long. */
  advance(us: number): void {
    this.scheduler.time.advance(us);
  }

  /** The threads of the application started last. */
  get platform(): SimPlatform {
    if (this.#platform === null) throw new Error('no application was started in this simulation');
    return this.#platform;
  }

  /**
   * `App.start` on a simulated main thread, with small memory, unpinned and without signal handlers. Idle time, mailbox size and buffer counts
   * are drawn from the seed where not given.
   */
  start(options: AppOptions & { readonly launchFaults?: LaunchFaults }, startFn: StartFn): Promise<number> {
    const { random } = this;
    const cores = options.cores ?? [0, 1];
    const main = this.scheduler.add(options.mainCore ?? Math.min(...cores));
    const platform = new SimPlatform(this.scheduler, main, options.launchFaults);
    this.#platform = platform;
    const defaults: AppOptions = {
      cores,
      pin: false,
      signals: false,
      platform,
      idlePollUs: random.pick([0, 5, 50]),
      mailboxEvents: random.pick([2, 16, 256]),
      heapBytes: 16 * 65536,
      iobuf: { smallCount: 16, largeCount: 8 },
    };
    const ended = runOn(main, () => App.start({ ...defaults, ...options, platform }, startFn));
    const done = () => this.scheduler.remove(main);
    ended.then(done, done);
    return ended;
  }

  /** Runs `fn` on the thread of `core`, outside of any turn, in `us` or a little later: as a timer's callback would. */
  at(core: number, us: number, fn: (reactor: Reactor) => void): void {
    const thread = this.platform.thread(core);
    thread.after(us, () => fn(thread.reactor as Reactor));
  }

  /** Resolves when `us` of virtual time have passed. */
  sleep(us: number): Promise<void> {
    return new Promise((resolve) => void this.#outside.after(us, resolve));
  }

  /** @internal Rounds until the body has settled. */
  async run<T>(body: (sim: Sim) => Promise<T>): Promise<T> {
    let settled = false;
    const result = runOn(this.#outside, () => body(this));
    const done = () => {
      settled = true;
    };
    result.then(done, done);
    for (;;) {
      await drained();
      if (settled) break;
      this.scheduler.round();
    }
    const left = this.scheduler.cores.filter((core) => core !== this.#outside);
    const value = await result;
    if (left.length > 0) throw new Error(`the test has ended, but threads go on\n${this.scheduler.describe()}`);
    return value;
  }
}

/** Resolves when no promise has anything left to run. Independent of time: an immediate runs after all of them. */
function drained(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/**
 * Runs `body` in a simulation.
 * @throws what the body throws, or SimHang, with the last log lines added to the message.
 */
export async function simulate<T>(seed: number, options: SimOptions, body: (sim: Sim) => Promise<T>): Promise<T> {
  const sim = new Sim(seed, options);
  const restore = isolate(() => sim.scheduler.point());
  log.open((record) => sim.logs.push(record));
  try {
    return await sim.run(body);
  } catch (error) {
    const lines = sim.logs.slice(-(options.logLines ?? 20)).map((record) => `  ${record.level} ${record.text}`);
    if (error instanceof Error && lines.length > 0) error.message += `\nlast log lines:\n${lines.join('\n')}`;
    throw error;
  } finally {
    log.close();
    restore();
  }
}
