// Where reports of all threads of a process meet: equal ones are dropped, suppressed ones counted, the others written at once by the thread that found
// them. What threads have in common lies in one shared block, so a thread that dies, or blocks for ever, keeps nobody else from reporting.
//
//   int32   0       1          2         3      4                                              4 + 1024
//         writer | reported | halting | none | a counter for each line of the suppression file | keys of reports, 64 bits each, 0 is free

import { BroadcastChannel } from 'node:worker_threads';
import type { Options } from './options.ts';
import { Output } from './output.ts';
import { keyOf, type Report } from './report.ts';
import { maxSuppressions, readSuppressions, type Suppression, suppressionOf } from './suppressions.ts';

const writerAt = 0;
const reportedAt = 1;
const haltingAt = 2;
const countersAt = 4;
const keysAt = countersAt + maxSuppressions;
/** Different reports that are told apart; of more, equal ones are printed again. */
const maxKeys = 8192;
/** A thread that was terminated while it wrote is waited for this long, once by each. */
const writerPatienceMs = 500;
/** How long the main thread may take to hear that the process is to end: it may be blocked, or on a busy machine. Then a worker ends the process itself. */
const haltPatienceMs = 2_000;
/** How long it may take to end, once it has heard. */
const endPatienceMs = 60_000;
const haltChannel = 'jstsan-halt';

// The originals: by the time of a report the sanitizer's own versions stand in their places.
const { compareExchange, add, load, store, wait, notify } = Atomics;
const Channel = BroadcastChannel;

export class Reporter {
  private readonly options: Options;
  private readonly words: Int32Array;
  private readonly keys: BigInt64Array;
  private readonly suppressions: readonly Suppression[];
  private readonly output: Output;
  private readonly isMainThread: boolean;

  /** The block that all threads of a process share; made once, by the main thread. */
  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(keysAt * 4 + maxKeys * 8);
  }

  /**
   * @param shared what `allocate` made
   * @throws {SuppressionError} the suppression file cannot be read or understood (`optionsOfProcess` looked before)
   */
  constructor(options: Options, shared: SharedArrayBuffer, isMainThread: boolean) {
    this.options = options;
    this.words = new Int32Array(shared, 0, keysAt);
    this.keys = new BigInt64Array(shared, keysAt * 4, maxKeys);
    this.suppressions = readSuppressions(options.suppressions);
    this.output = new Output(options);
    this.isMainThread = isMainThread;
    if (isMainThread && options.halt_on_error) this.haltWhenAsked();
  }

  /** How many reports this process made, by all threads. */
  get reported(): number {
    return load(this.words, reportedAt);
  }

  /**
   * Writes a report, unless it is suppressed or an equal one was written; true if it did. May be called by any thread, at any time; returns when it
   * is written. With halt_on_error the process ends here.
   */
  emit(report: Report): boolean {
    if (!this.options.report_atomic_races && report.kind === 'plain/atomic') return false;
    const suppressed = suppressionOf(report, this.suppressions);
    if (suppressed !== -1) {
      add(this.words, countersAt + suppressed, 1);
      return false;
    }
    if (this.options.suppress_equal_stacks && !this.isNew(keyOf(report))) return false;
    add(this.words, reportedAt, 1);
    this.exclusively(() => this.output.write(report));
    if (this.options.halt_on_error) this.halt();
    return true;
  }

  /**
   * The closing lines, and the exit code the process should end with; undefined leaves the program its own. The main thread calls it, once, at its exit.
   */
  finish(): number | undefined {
    const { atexit_sleep_ms } = this.options;
    if (atexit_sleep_ms > 0) wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, atexit_sleep_ms);
    const matched = this.suppressions.map((each, index) => ({ ...each, count: load(this.words, countersAt + index) }));
    const counts = this.options.print_suppressions ? matched.filter(({ count }) => count > 0) : [];
    this.exclusively(() => this.output.close(this.reported, counts));
    return this.reported > 0 && this.options.exitcode !== 0 ? this.options.exitcode : undefined;
  }

  private isNew(key: string): boolean {
    const hash = hash64(key);
    const start = Number(BigInt.asUintN(32, hash)) % maxKeys;
    for (let step = 0; step < maxKeys; step++) {
      const found = compareExchange(this.keys, (start + step) % maxKeys, 0n, hash);
      if (found === 0n) return true;
      if (found === hash) return false;
    }
    return true;
  }

  /** Reports are longer than what a pipe takes in one piece, and should not be mixed. */
  private exclusively(act: () => void): void {
    for (let tries = 0; compareExchange(this.words, writerAt, 0, 1) !== 0; tries++) {
      if (tries > 0 && wait(this.words, writerAt, 1, writerPatienceMs) === 'timed-out') break;
    }
    try {
      act();
    } finally {
      store(this.words, writerAt, 0);
      notify(this.words, writerAt, 1);
    }
  }

  /** A worker cannot end the process with a code; so it asks the main thread, and only if that does not answer does it kill the process. */
  private halt(): void {
    if (this.isMainThread) process.exit(this.options.exitcode);
    new Channel(haltChannel).postMessage(0);
    if (wait(this.words, haltingAt, 0, haltPatienceMs) !== 'timed-out') {
      wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, endPatienceMs);
    }
    this.finish();
    process.kill(process.pid, 'SIGKILL');
  }

  private haltWhenAsked(): void {
    const channel = new Channel(haltChannel);
    channel.onmessage = () => {
      store(this.words, haltingAt, 1);
      notify(this.words, haltingAt);
      process.exit(this.options.exitcode);
    };
    channel.unref();
  }
}

/** FNV-1a of 64 bits, never 0. */
function hash64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (let index = 0; index < text.length; index++) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(index))) * 0x100000001b3n);
  }
  return BigInt.asIntN(64, hash === 0n ? 1n : hash);
}
