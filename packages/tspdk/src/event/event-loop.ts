/**
 * What the reactor loop needs of its thread's event loop: immediates that can be unref'd, timers, a doorbell.
 *
 * Node's is below. The simulator has one for each simulated core, with the same rules, so that the very loop that runs in production
 * is what the simulations run.
 */
import { type Doorbell, openDoorbell } from '../env/doorbell.ts';

/** An immediate that is waiting. Unref'd, it does not keep the event loop from blocking, and runs when something wakes it. */
export interface LoopImmediate {
  ref(): unknown;
  unref(): unknown;
}

/** See above. Handles belong to the event loop that made them. */
export interface EventLoop {
  setImmediate(fn: () => void): LoopImmediate;
  clearImmediate(immediate: LoopImmediate): void;
  setTimeout(fn: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  /** As `openDoorbell` of env/doorbell.ts. */
  openDoorbell(options: { native?: boolean }): Doorbell;
}

/** The calling thread's own. */
export const nodeEventLoop: EventLoop = {
  setImmediate: (fn) => setImmediate(fn),
  clearImmediate: (immediate) => clearImmediate(immediate as NodeJS.Immediate),
  setTimeout: (fn, ms) => setTimeout(fn, ms),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
  openDoorbell,
};
