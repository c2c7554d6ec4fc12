/**
 * The application's tests: one at a time, begun by the command line or by RPC, ended by their time or by the application's stop. App core, control path.
 */
import { SpdkError } from '../env/errors.ts';
import { localKey, type Reactor } from '../event/index.ts';
import { PERF_DEFAULTS, type PerfOptions } from './options.ts';
import type { PerfResult } from './result.ts';
import { PerfRun } from './run.ts';

/** Who runs an application's tests, one at a time, see `perfTester`. App core only. */
export class PerfTester {
  /** Of the next test, where it does not say otherwise. */
  options: PerfOptions = PERF_DEFAULTS;
  /** Resolves when the disks are there: a call by RPC may come before the application has made them. */
  ready: Promise<void> = Promise.resolve();
  /** A test has begun; a test has ended. */
  onStart: (run: PerfRun) => void = () => {};
  onResult: (result: PerfResult) => void = () => {};
  readonly #reactor: Reactor;
  #preparing: Promise<PerfRun> | null = null;
  #run: PerfRun | null = null;
  #running: Promise<PerfResult> | null = null;

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  /**
   * Begins a test; resolves once it runs, with the promise of its result in an object, as a promise in a promise is one.
   * @throws {SpdkError} EINPROGRESS when one runs; as PerfRun.prepare.
   */
  async start(options: PerfOptions): Promise<{ readonly result: Promise<PerfResult> }> {
    if (this.#preparing !== null || this.#run !== null)
      throw new SpdkError('EINPROGRESS', 'a test is under way already');
    this.#preparing = PerfRun.prepare(this.#reactor, options);
    try {
      const run = await this.#preparing;
      this.#run = run;
      this.onStart(run);
      const result = this.#finish(run);
      this.#running = result;
      return { result };
    } finally {
      this.#preparing = null;
    }
  }

  async #finish(run: PerfRun): Promise<PerfResult> {
    try {
      const result = await run.run();
      this.onResult(result);
      return result;
    } finally {
      this.#run = null;
      this.#running = null;
    }
  }

  /** Ends the test that runs, if one does; resolves when its result has been told. */
  async stop(): Promise<void> {
    // Its first I/Os are sent when it has been prepared, and the stop follows them.
    await this.#preparing?.catch(() => {});
    await this.#run?.stop();
    await this.#running?.catch(() => {});
  }
}

const testerKey = localKey('perf.tester', (reactor) => new PerfTester(reactor));

/** The application's tests. App core only. */
export function perfTester(reactor: Reactor): PerfTester {
  return reactor.local(testerKey);
}
