/**
 * Names what holds a core: an event, message or poller that ran longer than `limits.stall_ms`, with the place where it was defined.
 *
 * No clock is read per event, and nothing is stored per event: measured, a store or even a branch for each costs a tenth of the event rate. Instead:
 *   1. The loop compares the clock readings that turns make anyway (and one at the end of a slice). When two lie too far apart, turns
 *      stalled. A turn leaves a trail: four words for each *batch* of events it took, from which the functions can be told afterwards,
 *      as their slots are still there. So the first stall is reported with everything that ran then; mostly that is one event.
 *   2. From then on, for `limits.stall_watch_ms`, turns run in another version that times each part by itself, down to the single poller
 *      (StallWatch). What stalls again is named alone. The fast version only sees a null, once a batch.
 * A thread that watches a heartbeat from outside would name a part while it still hangs, but needs an isolate of some megabytes, a wakeup ten times
 * a second for ever, and that store per event.
 *
 * Not everything that looks so is a stall. On a loaded machine the thread may not have run at all: its CPU time says so, and then nothing is
 * watched, which would only make it slower. What takes long outside of turns (a promise, a timer, a socket's callback) is told apart, but not
 * named: nothing of the kit ran it.
 */
import type { Clock } from '../env/clock.ts';
import { eventFnName, eventFnSite } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import { StallWatch } from '../env/stall-watch.ts';

/** Batches whose trail is kept. */
const TRAIL = 16;

/** Where a batch of events came from: a ring whose slots can still be read. */
export interface BatchSource {
  functionsFrom(first: number, count: number): number[];
}

/** What the detector knows of its reactor. */
export interface StallOptions {
  readonly core: number;
  readonly clock: Clock;
  /** Self queue and inboxes, by number. */
  readonly sources: readonly BatchSource[];
  /** Names of what is polled. */
  readonly pollables: readonly { readonly name: string }[];
  readonly report: (text: string, kind: StallKind) => void;
}

/** In a turn; in other code on the reactor's thread; or the machine gave the core to others. */
export type StallKind = 'turn' | 'outside' | 'machine';

/** One reactor's. Its thread only. */
export class StallDetector {
  /** Stalls so far, those of the machine left out. */
  count = 0;
  /** Times single things while a stall is looked for; else null. */
  watch: StallWatch | null = null;
  readonly #options: StallOptions;
  readonly #trail = new Int32Array(TRAIL * 3);
  readonly #trailUs = new Float64Array(TRAIL);
  #batches = 0;
  #watchUntilUs = 0;
  /** `StallWatch.named` when the loop last looked. */
  #namedBefore = 0;
  /** CPU time of the thread when it was last read, and when that was; sleep since then. */
  #cpuUs: number | null = null;
  #sampledUs = Number.NEGATIVE_INFINITY;
  #sleptUs = 0;
  readonly #said = new Map<string, { atUs: number; more: number }>();

  constructor(options: StallOptions) {
    this.#options = options;
  }

  /** Data path: `count` events were taken from source `from`, the first at `first`. */
  note(from: number, first: number, count: number): void {
    const place = this.#batches++ & (TRAIL - 1);
    const at = place * 3;
    const trail = this.#trail;
    this.#trailUs[place] = this.#options.clock.nowUs;
    trail[at] = from;
    trail[at + 1] = first;
    trail[at + 2] = count;
  }

  /** The end of a slice: reads the thread's CPU time now and then, to compare with. */
  sample(): void {
    const { clock } = this.#options;
    if (clock.nowUs - this.#sampledUs < limits.stall_ms * 1000) return;
    this.#cpuUs = clock.cpuUs?.() ?? null;
    this.#sampledUs = clock.nowUs;
    this.#sleptUs = 0;
  }

  /** The thread has slept. */
  slept(us: number): void {
    this.#sleptUs += us;
  }

  /** The turns since the last look were short. */
  turnsWereShort(): void {
    if (this.watch !== null) this.#endWatch(this.watch);
  }

  /** The turns since `beforeUs`, a reading of the clock, took `ms` together, which is too long. */
  turnsTook(ms: number, beforeUs: number): void {
    const { core } = this.#options;
    if (this.#wasMachine(ms)) return;
    this.count++;
    const { watch } = this;
    const named = watch !== null && watch.named > this.#namedBefore;
    if (watch === null) {
      this.#say(
        `stall on ${core}`,
        `reactor ${core} did not come back for ${Math.round(ms)} ms (limit ${limits.stall_ms}): ${this.#whatRan(beforeUs)}. ` +
          `Each is timed by itself for the next ${limits.stall_watch_ms / 1000} s`,
      );
    } else if (!named) {
      this.#say(
        `unnamed on ${core}`,
        `reactor ${core} did not come back for ${Math.round(ms)} ms, though nothing that it ran took that long: many things together, ` +
          'or garbage collection',
      );
    }
    this.#startWatch();
  }

  /** Other code on this thread kept the reactor from its turns. */
  outsideTook(ms: number): void {
    const { core } = this.#options;
    if (this.#wasMachine(ms)) return;
    this.count++;
    const text = `reactor ${core} got no turn for ${Math.round(ms)} ms: a promise, timer or callback on its thread took that long`;
    this.#say(`outside on ${core}`, text, 'outside');
  }

  /** What an event is called in a report. */
  static event(id: number): string {
    return `event "${eventFnName(id)}" (${eventFnSite(id)})`;
  }

  /** Whether `ms` were too long only because the machine let the thread wait; says so. */
  #wasMachine(ms: number): boolean {
    const { clock, core } = this.#options;
    const cpuUs = clock.cpuUs?.() ?? null;
    if (cpuUs === null || this.#cpuUs === null) return false;
    const waitedMs = (clock.nowUs - this.#sampledUs - this.#sleptUs - (cpuUs - this.#cpuUs)) / 1000;
    if (ms - waitedMs > limits.stall_ms) return false;
    this.#say(
      `machine on ${core}`,
      `reactor ${core} did not come back for ${Math.round(ms)} ms: its thread waited for a CPU for ${Math.round(waitedMs)} ms`,
      'machine',
    );
    return true;
  }

  #startWatch(): void {
    const { clock, core } = this.#options;
    this.#watchUntilUs = clock.nowUs + limits.stall_watch_ms * 1000;
    this.watch ??= new StallWatch(clock, (what, ms) => {
      this.#say(what, `${what} held reactor ${core} for ${Math.round(ms)} ms (limit ${limits.stall_ms})`);
    });
    this.#namedBefore = this.watch.named;
  }

  #endWatch(watch: StallWatch): void {
    this.#namedBefore = watch.named;
    if (this.#options.clock.nowUs < this.#watchUntilUs) return;
    this.watch = null;
    this.#namedBefore = 0;
  }

  /** Events that were taken since `beforeUs`, and what is polled. */
  #whatRan(beforeUs: number): string {
    const { sources, pollables } = this.#options;
    const ids = new Map<number, number>();
    const kept = Math.min(this.#batches, TRAIL);
    for (let i = this.#batches - kept; i < this.#batches; i++) {
      if (this.#trailUs[i & (TRAIL - 1)] < beforeUs) continue;
      const [from, first, count] = this.#trail.subarray((i & (TRAIL - 1)) * 3);
      for (const id of sources[from].functionsFrom(first, count)) ids.set(id, (ids.get(id) ?? 0) + 1);
    }
    const events = [...ids].map(([id, n]) => `${StallDetector.event(id)}${n > 1 ? ` ×${n}` : ''}`);
    const ran = events.length > 0 ? `it ran ${list(events)}` : 'it ran no event';
    const polled = pollables.map(({ name }) => name);
    return polled.length > 0 ? `${ran}, and polled ${list(polled)}` : ran;
  }

  /** Says it, but the same only now and then, with how often it happened meanwhile. */
  #say(key: string, text: string, kind: StallKind = 'turn'): void {
    const { nowUs } = this.#options.clock;
    const before = this.#said.get(key);
    if (before !== undefined && nowUs - before.atUs < limits.stall_repeat_ms * 1000) {
      before.more++;
      return;
    }
    this.#said.set(key, { atUs: nowUs, more: 0 });
    const again = before !== undefined && before.more > 0 ? ` (and ${before.more} times before that)` : '';
    this.#options.report(text + again, kind);
  }
}

/** The first eight, and how many more. */
function list(items: readonly string[]): string {
  const more = items.length > 8 ? ` and ${items.length - 8} more` : '';
  return items.slice(0, 8).join(', ') + more;
}
