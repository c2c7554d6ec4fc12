/**
 * Time for reactors: read once a turn, in microseconds, from a source that a simulation can replace.
 *
 * Everything that needs "now" on the data path takes `clock.nowUs`, the value of this turn. Outside of a turn (a promise, a timer, a
 * socket's callback) that value is as old as the last turn, hours perhaps: control paths call `read`.
 */
import { readFileSync } from 'node:fs';
import * as perfHooks from 'node:perf_hooks';

/** A source of time. One thread's. */
export interface Clock {
  /** Microseconds since an arbitrary start; the value of the last `tick`. */
  nowUs: number;
  /** Refreshes `nowUs`. For the data path: a time that is returned or passed is a number on the JS heap each time, one in a field is not. */
  tick(): void;
  /** Refreshes and returns `nowUs`. */
  read(): number;
  /** CPU time that the calling thread has used, µs; null where it cannot be told. Costs a system call or three. */
  cpuUs?(): number | null;
}

/** The global of that name is a getter that costs as much as the clock itself. */
const { performance } = perfHooks;

/** The machine's monotonic clock. Threads of one process agree on it: performance.timeOrigin is added in. */
export class RealClock implements Clock {
  nowUs: number;
  readonly #originUs: number;
  constructor() {
    this.#originUs = (performance.timeOrigin - EPOCH_MS) * 1000;
    this.nowUs = 0;
    this.read();
  }
  tick(): void {
    this.nowUs = performance.now() * 1000 + this.#originUs;
  }
  read(): number {
    this.tick();
    return this.nowUs;
  }
  cpuUs(): number | null {
    // Node 20 has no such function yet; Linux tells it in a file (nanoseconds come first).
    const { threadCpuUsage } = process as { threadCpuUsage?: () => { user: number; system: number } };
    if (threadCpuUsage !== undefined) {
      const { user, system } = threadCpuUsage.call(process);
      return user + system;
    }
    try {
      return Number.parseInt(readFileSync('/proc/thread-self/schedstat', 'latin1'), 10) / 1000;
    } catch {
      return null;
    }
  }
}

/** Keeps microseconds small enough to stay exact to a fraction of one in a double. */
const EPOCH_MS = Date.UTC(2026, 0, 1);
