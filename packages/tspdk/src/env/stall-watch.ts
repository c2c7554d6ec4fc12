/**
 * Times single things (an event, a message, a poller) while somebody looks for the one that holds its core too long.
 *
 * A reactor has one only for some seconds after a stall (event/stall-detector.ts); at other times the field is null, and that is all the fast path
 * sees. Watched code calls `lap` after each thing: one reading of the clock ends the one and begins the next, so an enclosing
 * thing (the thread round its pollers) is only charged with what is left.
 */
import type { Clock } from './clock.ts';
import { limits } from './limits.ts';

const STALL_US = limits.stall_ms * 1000;

/** See above. Its reactor's thread only. */
export class StallWatch {
  /** Things reported so far. */
  named = 0;
  readonly #clock: Clock;
  readonly #report: (what: string, ms: number) => void;
  #lapUs = 0;

  constructor(clock: Clock, report: (what: string, ms: number) => void) {
    this.#clock = clock;
    this.#report = report;
  }

  /** What comes next begins now. */
  begin(): void {
    this.#lapUs = this.#clock.read();
  }

  /** What began at the last `begin` or `lap` has ended. Returns how long it took in ms when that was too long, else 0: then `report` it. */
  lap(): number {
    const now = this.#clock.read();
    const us = now - this.#lapUs;
    this.#lapUs = now;
    return us > STALL_US ? us / 1000 : 0;
  }

  report(what: string, ms: number): void {
    this.named++;
    this.#report(what, ms);
  }
}
