/**
 * One simulated thread: an event loop with libuv's rules, whose every callback runs when the scheduler says so.
 *
 * A core has callbacks waiting of five kinds: messages (in order for each port), tasks, due timers, a rung doorbell, immediates. `ready` says
 * whether any could run, `runOne` runs one, drawn from the seed. The rule that matters: an *unref'd* immediate does not keep the loop from
 * blocking; it runs after a doorbell or a message woke the loop. A timer's callback (and a task) runs before libuv blocks, so it does not. So a core that sleeps gets no turn unless a doorbell, a timer or a message
 * woke it, and a lost wakeup shows as a core that never wakes.
 */
import type { Doorbell, DoorbellTarget } from '../env/doorbell.ts';
import type { Random } from '../env/random.ts';
import type { EventLoop, LoopImmediate } from '../event/event-loop.ts';
import type { Reactor } from '../event/reactor.ts';
import type { SimTime } from './virtual-clock.ts';

interface SimTimer {
  readonly dueUs: number;
  readonly fn: () => void;
}

class SimImmediate implements LoopImmediate {
  readonly fn: () => void;
  refed = true;
  constructor(fn: () => void) {
    this.fn = fn;
  }
  ref(): void {
    this.refed = true;
  }
  unref(): void {
    this.refed = false;
  }
}

/** Rung by other cores through a shared word, as the doorbell without FFI is. */
class SimDoorbell implements Doorbell {
  readonly kind = 'atomics';
  readonly fd = -1;
  readonly target: DoorbellTarget;
  wakes = 0;
  readonly word = new Int32Array(new SharedArrayBuffer(4));
  #seen = 0;
  #closed = false;

  constructor() {
    this.target = { kind: 'atomics', word: this.word };
  }
  get rung(): boolean {
    return !this.#closed && this.word[0] !== this.#seen;
  }
  answer(): void {
    this.#seen = this.word[0];
    this.wakes++;
  }
  close(): void {
    this.#closed = true;
  }
}

/** What a core's next callback was, for the trace. */
export const callbackKind = { message: 1, task: 2, timer: 3, doorbell: 4, immediate: 5 } as const;

/** A simulated thread. */
export class SimCore implements EventLoop {
  /** Core number, -1 for the test itself. */
  readonly core: number;
  /** Position among all simulated threads, for the trace. */
  readonly id: number;
  /** What `current.reactor` is in this thread's code. */
  reactor: Reactor | null = null;
  /** False: the thread has ended, nothing of it runs any more. */
  alive = true;
  /** Callbacks that have run. */
  callbacks = 0;
  /** The simulation's. */
  readonly random: Random;
  readonly #time: SimTime;
  readonly #tasks: (() => void)[] = [];
  readonly #inboxes: (() => void)[][] = [];
  readonly #timers: SimTimer[] = [];
  readonly #immediates: SimImmediate[] = [];
  readonly #doorbells: SimDoorbell[] = [];
  /** The poll phase woke up since the last immediate, so that an unref'd one runs too. */
  #woken = false;

  constructor(core: number, id: number, time: SimTime, random: Random) {
    this.core = core;
    this.id = id;
    this.#time = time;
    this.random = random;
  }

  /** Runs `fn` on this thread, outside of any turn. */
  post(fn: () => void): void {
    this.#tasks.push(fn);
  }

  /** Runs `fn` on this thread in `us` or a little later. */
  after(us: number, fn: () => void): SimTimer {
    const timer = { dueUs: this.#time.nowUs + us, fn };
    this.#timers.push(timer);
    return timer;
  }

  /** A queue of callbacks that run in order. */
  inbox(): (() => void)[] {
    const queue: (() => void)[] = [];
    this.#inboxes.push(queue);
    return queue;
  }

  setImmediate(fn: () => void): LoopImmediate {
    const immediate = new SimImmediate(fn);
    this.#immediates.push(immediate);
    return immediate;
  }
  clearImmediate(immediate: LoopImmediate): void {
    remove(this.#immediates, immediate as SimImmediate);
  }
  setTimeout(fn: () => void, ms: number): unknown {
    return this.after(Math.max(1, ms) * 1000 + this.random.int(1000), fn);
  }
  clearTimeout(timer: unknown): void {
    remove(this.#timers, timer as SimTimer);
  }
  openDoorbell(): Doorbell {
    const doorbell = new SimDoorbell();
    this.#doorbells.push(doorbell);
    return doorbell;
  }

  /** Whether a callback could run now. */
  get ready(): boolean {
    if (!this.alive) return false;
    if (this.#tasks.length > 0 || this.#immediateReady()) return true;
    for (const inbox of this.#inboxes) if (inbox.length > 0) return true;
    for (const doorbell of this.#doorbells) if (doorbell.rung) return true;
    return this.nextTimerUs <= this.#time.nowUs;
  }

  /** When the earliest timer is due; Infinity without one. */
  get nextTimerUs(): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.alive) for (const timer of this.#timers) if (timer.dueUs < next) next = timer.dueUs;
    return next;
  }

  /** Takes one callback that is ready, drawn from the seed. Returns its kind and the callback. `ready` must be true. */
  takeOne(): { kind: number; fn: () => void } {
    const choices: { kind: number; take: () => () => void }[] = [];
    for (const inbox of this.#inboxes) {
      if (inbox.length > 0) choices.push({ kind: callbackKind.message, take: () => inbox.shift() as () => void });
    }
    if (this.#tasks.length > 0) {
      choices.push({ kind: callbackKind.task, take: () => this.#tasks.shift() as () => void });
    }
    const timer = this.#dueTimer();
    if (timer !== null) {
      choices.push({
        kind: callbackKind.timer,
        take: () => {
          remove(this.#timers, timer);
          return timer.fn;
        },
      });
    }
    for (const doorbell of this.#doorbells) {
      if (doorbell.rung) choices.push({ kind: callbackKind.doorbell, take: () => () => doorbell.answer() });
    }
    if (this.#immediateReady()) {
      choices.push({ kind: callbackKind.immediate, take: () => (this.#immediates.shift() as SimImmediate).fn });
    }
    const choice = choices.length === 1 ? choices[0] : this.random.pick(choices);
    const fn = choice.take();
    if (choice.kind === callbackKind.message || choice.kind === callbackKind.doorbell) this.#woken = true;
    if (choice.kind === callbackKind.immediate) this.#woken = false;
    this.callbacks++;
    return { kind: choice.kind, fn };
  }

  /** What waits here, in words. */
  describe(): string {
    const messages = this.#inboxes.reduce((sum, inbox) => sum + inbox.length, 0);
    const immediate =
      this.#immediates.length === 0 ? 'no immediate' : this.#immediates[0].refed ? 'awake' : 'asleep in its event loop';
    const timers = this.#timers.length === 0 ? '' : `, ${this.#timers.length} timer(s)`;
    return `${this.alive ? immediate : 'dead'}, ${messages} message(s), ${this.#tasks.length} task(s)${timers}`;
  }

  #immediateReady(): boolean {
    return this.#immediates.length > 0 && (this.#immediates[0].refed || this.#woken);
  }

  /** The timer that libuv would run first, when it is due. */
  #dueTimer(): SimTimer | null {
    let first: SimTimer | null = null;
    for (const timer of this.#timers) {
      if (timer.dueUs <= this.#time.nowUs && (first === null || timer.dueUs < first.dueUs)) first = timer;
    }
    return first;
  }
}

function remove<T>(from: T[], item: T): void {
  const at = from.indexOf(item);
  if (at >= 0) from.splice(at, 1);
}
