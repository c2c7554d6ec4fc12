/**
 * The reactor: one per core, and everything that core runs happens inside its turns.
 *
 * A turn takes events from every source (itself, then each other core), lets each lightweight thread run, submits and reaps the I/O ring once,
 * publishes what it has sent, and accounts its time as busy or idle. It never blocks and knows nothing of libuv: reactor-loop.ts
 * decides when turns run and when the core sleeps; the simulator runs turns of many reactors in one isolate.
 *
 * `send` is the only way to another core. Events arrive in order for each pair of cores.
 *
 * Sending and sleeping: a sender publishes the mailbox's tail, then reads the receiver's `sleeping` word; a receiver sets `sleeping`, then
 * looks at all tails (`prepareSleep`). Both use sequentially consistent Atomics, so at least one sees the other: no event is left behind by a
 * sleeping core. Whoever clears the word by exchange rings, so one ring is enough.
 */
import type { Clock } from '../env/clock.ts';
import { current } from '../env/current.ts';
import { type DoorbellTarget, ringDoorbell } from '../env/doorbell.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent, type EventFn, eventFnName, handlers } from '../env/event-fn.ts';
import { Heap, type Ptr } from '../env/heap.ts';
import { IoBufChannel, type IoBufMemory } from '../env/iobuf.ts';
import { limits } from '../env/limits.ts';
import { functionOf, Inbox, Outbox } from '../env/mailbox.ts';
import { SegmentTable } from '../env/segment.ts';
import type { StallWatch } from '../env/stall-watch.ts';
import type { Ring } from '../env/uring.ts';
import { SharedThreadTable, type ThreadHost } from '../thread/index.ts';
import type { AppHandle } from './app-handle.ts';
import { appWord, coreLine, coreWord, type Fabric, mailboxOffset, reactorState, segmentId } from './fabric.ts';
import { iobufPort } from './iobuf-port.ts';
import type { LocalKey } from './local-key.ts';
import { earliestPollUs, type Pollable } from './pollable.ts';
import type { ReactorOptions } from './reactor-options.ts';
import type { ReactorStats } from './reactor-stats.ts';
import type { Route } from './route.ts';
import { SelfQueue } from './self-queue.ts';
import { StallDetector } from './stall-detector.ts';

export { type LocalKey, localKey } from './local-key.ts';

/** Events of a batch after which the next is looked for in the same turn. */
const LONG_BATCH = 16;
/** Turns in a row in which events came from a core: more are then taken to wait there. */
const DEEP_TURNS = 4;

/** One core's reactor. Its core's thread only, but for the static helpers. */
export class Reactor implements ThreadHost {
  readonly core: number;
  /** Position of this core in `cores`. */
  readonly index: number;
  readonly cores: readonly number[];
  readonly fabric: Fabric;
  readonly clock: Clock;
  readonly heap: Heap;
  readonly segments = new SegmentTable();
  /** The lightweight threads of all cores. */
  readonly shared: SharedThreadTable;
  iobuf: IoBufChannel;
  /** This reactor's io_uring; null where it is denied or absent (`ringReason` says why). Set before the reactor starts. */
  ring: Ring | null = null;
  ringReason = '';
  readonly app: AppHandle;
  readonly stats: ReactorStats = { busyUs: 0, idleUs: 0, turns: 0, events: 0 };
  /** Iterations that this core started and whose completion has not come home. */
  iterations = 0;
  /** Whether this reactor may nap: sleep in its ring for microseconds at a time instead of polling. Set by the loop. */
  naps = false;
  /** Somebody has put work off until then, µs on the clock; 0: nobody. A reactor that naps does so until then. */
  napUntilUs = 0;
  /** How many have more throughput than a poll each microsecond would serve: while there is one, idle moments are napped. */
  gatherers = 0;
  /**
   * How many wait for what comes by itself, and soon: disks with I/O that a device does, unix sockets that bring large payloads. While there is one, idle moments are napped for as long as usually nothing
   * comes (device-wait.ts).
   */
  awaited = 0;
  /**
   * This turn has called what answers by promise, perhaps at once, or has settled one: it is the slice's last, so that the answer is heard. For whoever
   * did so to set; the loop takes it back.
   */
  promised = false;
  /** When this core last woke another. */
  lastRingUs = Number.NEGATIVE_INFINITY;
  /** True inside `turn`. */
  inTurn = false;
  /** Finds what holds this core; the loop tells it what it sees. */
  readonly stalls: StallDetector;
  /** Called when work is added outside a turn, so that the loop makes one soon. Set by the loop. */
  onKick: () => void = () => {};

  readonly #words: Int32Array;
  readonly #line: number;
  readonly #self = new SelfQueue();
  /** The way to each other core, by core number; null for numbers without a reactor, and for this core. */
  readonly #routes: (Route | null)[];
  readonly #inboxes: Inbox[] = [];
  /** Routes with events that are not published yet. */
  readonly #dirty: Route[] = [];
  readonly #pollables: Pollable[] = [];
  readonly #locals = new Map<LocalKey<unknown>, unknown>();
  readonly #onFault: (error: unknown, what: string) => void;
  /** When the clock was last read for a turn; turns since then, how many of them did something, and how many may still share that reading. */
  #readUs: number;
  #turnsSinceRead = 0;
  #busySinceRead = 0;
  #turnsToShare = 0;
  /** What a turn that does nothing takes, as an average. */
  #idleTurnUs = 0;

  constructor(options: ReactorOptions) {
    const { fabric, core } = options;
    this.core = core;
    this.cores = fabric.cores;
    this.fabric = fabric;
    this.index = fabric.cores.indexOf(core);
    if (this.index < 0) throw new SpdkError('EINVAL', `core ${core} is not one of ${fabric.cores.join(',')}`);
    this.clock = options.clock;
    this.app = options.app;
    this.#onFault = options.onFault;
    this.#words = new Int32Array(fabric.words);
    this.#line = coreLine(this.index);
    this.#routes = new Array<Route | null>(Math.max(...fabric.cores) + 1).fill(null);
    fabric.cores.forEach((other, i) => {
      if (i === this.index) return;
      const out = mailboxOffset(fabric, this.index, i);
      const outbox = new Outbox(fabric.mailboxes, out, fabric.mailboxEvents, `core ${core} to core ${other}`);
      this.#routes[other] = { outbox, core: other, line: coreLine(i), dirty: false, doorbell: null };
      const from = mailboxOffset(fabric, i, this.index);
      this.#inboxes.push(new Inbox(fabric.mailboxes, from, fabric.mailboxEvents));
    });
    this.stalls = new StallDetector({
      core,
      clock: this.clock,
      sources: [this.#self, ...this.#inboxes],
      pollables: this.#pollables,
      report: options.onStall ?? (() => {}),
    });
    this.shared = new SharedThreadTable(fabric.threads);
    this.heap = new Heap(fabric.heap, core);
    this.heap.sendHome = (owner, ptr) => this.send(owner, blockHome, ptr, 0, 0);
    this.iobuf = this.useIoBuf(fabric.iobuf);
    this.#readUs = this.clock.read();
    this.setState(reactorState.initialized);
  }

  /** Takes its I/O buffers from `memory`. Only while none are out: at start, and before the subsystems are initialised. */
  useIoBuf(memory: IoBufMemory): IoBufChannel {
    if (this.segments.count > 0) for (const id of [segmentId.small, segmentId.large]) this.segments.detach(id);
    this.iobuf = new IoBufChannel({
      memory,
      index: this.index,
      cores: this.cores.length,
      core: this.core,
      small: this.segments.attach(segmentId.small, memory.small.data),
      large: this.segments.attach(segmentId.large, memory.large.data),
      port: iobufPort(this),
    });
    return this.iobuf;
  }

  /** This core's state, one of `reactorState`. Read plainly: while its thread lives nobody else writes it (see markDead). */
  get state(): number {
    return this.#words[this.#line + coreWord.state] as number;
  }

  /** Moves to the next state. @throws when it would move back. */
  setState(state: number): void {
    if (state <= this.state) throw new Error(`reactor ${this.core}: state ${this.state} cannot become ${state}`);
    Atomics.store(this.#words, this.#line + coreWord.state, state);
  }

  /** True from the first stop of the application on. */
  get stopping(): boolean {
    return Atomics.load(this.#words, appWord.stopping) !== 0;
  }

  /** Refuses new iterations on every core from now on. */
  markStopping(): void {
    Atomics.store(this.#words, appWord.stopping, 1);
  }

  /** The thread of `core` has ended by itself: from now on sends to it are refused. App core only. */
  markDead(core: number): void {
    const { line } = this.#routes[core] as Route;
    Atomics.store(this.#words, line + coreWord.state, reactorState.shutdown);
    Atomics.store(this.#words, line + coreWord.sleeping, 0);
  }

  /** A number no other I/O device of the application has. Any core. */
  allocIoDeviceId(): number {
    return Atomics.add(this.#words, appWord.ioDevices, 1) + 1;
  }

  /** A number no other segment of the application has. Any core. */
  allocSegmentId(): number {
    return Atomics.add(this.#words, appWord.segments, 1) + segmentId.first;
  }

  /** How to ring the other cores. Index as in `cores`. */
  setDoorbells(targets: readonly (DoorbellTarget | null)[]): void {
    this.cores.forEach((core, i) => {
      const route = this.#routes[core];
      if (route !== null) route.doorbell = targets[i];
    });
  }

  /** The value of `key` on this reactor. */
  local<T>(key: LocalKey<T>): T {
    const known = this.#locals.get(key as LocalKey<unknown>);
    if (known !== undefined || this.#locals.has(key as LocalKey<unknown>)) return known as T;
    const made = key.make(this);
    this.#locals.set(key as LocalKey<unknown>, made);
    return made;
  }

  /**
   * Runs `fn` on `core` with three 32-bit arguments; in order for each pair of cores.
   * @throws {SpdkError} EINVAL for a core without a reactor; ESHUTDOWN when that core has stopped; ENOMEM when its mailbox overflows.
   */
  send(core: number, fn: EventFn, arg1: number, arg2: number, arg3: number): void {
    if (core === this.core) {
      this.#self.push(fn.id, arg1, arg2, arg3);
    } else {
      const route = this.#routes[core];
      if (route === null || route === undefined)
        throw new SpdkError('EINVAL', `no reactor on core ${core}: cores are ${this.cores.join(',')}`);
      if (!route.dirty) this.#useRoute(route, fn);
      route.outbox.push(fn.id, arg1, arg2, arg3);
    }
    if (!this.inTurn) this.onKick();
  }

  /** First event on this route since it was published. */
  #useRoute(route: Route, fn: EventFn): void {
    if (this.#hasStopped(route)) {
      throw new SpdkError('ESHUTDOWN', `event "${fn.name}" for core ${route.core}: that reactor has stopped`);
    }
    route.dirty = true;
    this.#dirty.push(route);
  }

  #hasStopped(route: Route): boolean {
    return Atomics.load(this.#words, route.line + coreWord.state) >= reactorState.shutdown;
  }

  /** Polled each turn from now on, in order of addition. */
  addPollable(pollable: Pollable): void {
    this.#pollables.push(pollable);
    this.kick();
  }

  /** Not polled any more. May be called from inside a poll. */
  removePollable(pollable: Pollable): void {
    const at = this.#pollables.indexOf(pollable);
    if (at >= 0) this.#pollables.splice(at, 1);
  }

  /** Work was added outside a turn (a promise, a timer, a socket): have a turn soon. Cheap inside one. */
  kick(): void {
    if (!this.inTurn) this.onKick();
  }

  /** One turn. Returns how much was done; 0 is an idle turn. */
  turn(): number {
    this.#turnsSinceRead++;
    if (--this.#turnsToShare < 0) this.#readClock();
    this.inTurn = true;
    if (current.reactor !== this) current.reactor = this;
    const { watch } = this.stalls;
    if (watch !== null) watch.begin();
    let done = 0;
    const self = this.#self;
    if (self.head !== self.tail) done = watch === null ? this.#runSelf(self) : this.#selfWatched(self, watch);
    const inboxes = this.#inboxes;
    for (let i = 0; i < inboxes.length; i++) {
      const inbox = inboxes[i];
      if (inbox.available() === 0) {
        inbox.busyTurns = 0;
        continue;
      }
      done += watch === null ? this.#runInbox(inbox, i + 1) : this.#inboxWatched(inbox, watch);
    }
    // Answers leave before the pollers run: another core waits for them.
    if (this.#dirty.length > 0) this.#publish();
    const pollables = this.#pollables;
    for (let i = 0; i < pollables.length; i++) {
      done += watch === null ? this.#poll(pollables[i]) : this.#pollWatched(pollables[i], watch);
    }
    if (this.#dirty.length > 0) this.#publish();
    this.inTurn = false;
    if (done > 0) this.#busySinceRead++;
    return done;
  }

  /**
   * Reads the clock and books the time since the last reading.
   * A reading costs as much as an idle turn. So while turns are short, several share one: `now` is late by microseconds at most.
   */
  #readClock(): void {
    const turns = this.#turnsSinceRead;
    const before = this.#readUs;
    this.settle();
    if (this.#readUs - before < turns * limits.short_turn_us) this.#turnsToShare = limits.clock_share_turns - 1;
  }

  /**
   * Books the time up to now as busy or idle, so that `stats` are of this moment. Time without a turn, sleep above all, is idle. Where turns
   * that share a reading did something, what idle turns usually take is idle, the rest is busy.
   */
  settle(): void {
    this.clock.tick();
    const now = this.clock.nowUs;
    const elapsed = now - this.#readUs;
    const turns = this.#turnsSinceRead;
    const busyTurns = this.#busySinceRead;
    let idleUs = elapsed;
    if (busyTurns > 0) idleUs = Math.min(elapsed, Math.max(0, turns - busyTurns) * this.#idleTurnUs);
    else if (elapsed < turns * limits.short_turn_us) this.#idleTurnUs += (elapsed / turns - this.#idleTurnUs) / 8;
    this.stats.idleUs += idleUs;
    this.stats.busyUs += elapsed - idleUs;
    this.stats.turns += turns;
    this.#readUs = now;
    this.#turnsSinceRead = 0;
    this.#busySinceRead = 0;
    this.#turnsToShare = 0;
  }

  /** What times single things while a stall is looked for; null at other times. */
  get stallWatch(): StallWatch | null {
    return this.stalls.watch;
  }

  /** The core has slept since the clock's last reading, between two turns: that time is idle, whatever the turns around it were. */
  napped(): void {
    const fromUs = this.clock.nowUs;
    this.clock.tick();
    const us = this.clock.nowUs - fromUs;
    this.stats.idleUs += us;
    this.#readUs += us;
    this.stalls.slept(us);
  }

  /** True when a turn would find something to do right now: events of any core, or overflow to pass on. */
  hasWork(): boolean {
    if (this.#self.head !== this.#self.tail || this.#dirty.length > 0) return true;
    for (const inbox of this.#inboxes) if (inbox.available() > 0) return true;
    return false;
  }

  /** The earliest time at which some pollable wants a turn; one that has passed means now, Infinity never. */
  nextPollUs(): number {
    return earliestPollUs(this.#pollables);
  }

  /** Says "ring me", then looks once more. False, and nothing said, when there is work after all. */
  prepareSleep(): boolean {
    Atomics.store(this.#words, this.#line + coreWord.sleeping, 1);
    let quiet = true;
    for (const pollable of this.#pollables) if (pollable.armWake?.() === false) quiet = false;
    if (quiet && !this.hasWork()) {
      // From here to the next turn all is idle.
      this.settle();
      return true;
    }
    this.awake();
    return false;
  }

  /** The core is awake again: nobody needs to ring. */
  awake(): void {
    Atomics.store(this.#words, this.#line + coreWord.sleeping, 0);
    for (const pollable of this.#pollables) pollable.disarmWake?.();
  }

  #runSelf(queue: SelfQueue): number {
    let n = (queue.tail - queue.head) | 0;
    if (n > limits.event_batch) n = limits.event_batch;
    this.stats.events += n;
    this.stalls.note(0, queue.head, n);
    for (let i = 0; i < n; i++) {
      const words = queue.words;
      const at = (queue.head & queue.mask) << 2;
      queue.head = (queue.head + 1) | 0;
      this.#run(words[at], words[at + 1], words[at + 2], words[at + 3]);
    }
    return n;
  }

  /**
   * Takes what has come, up to a limit. Long batches are followed by the next at once. Short ones are not, for to look for more takes the line away
   * from the core that is about to write it; unless some came in each of the last turns: then more are likely to wait, and a turn for each would cost more than they do.
   */
  #runInbox(inbox: Inbox, source: number): number {
    const { i32, mask, slots } = inbox;
    const least = ++inbox.busyTurns > DEEP_TURNS ? 1 : LONG_BATCH;
    let done = 0;
    let n: number;
    do {
      n = Math.min(inbox.available(), limits.event_batch - done);
      const { head } = inbox;
      this.stalls.note(source, head, n);
      for (let i = 0; i < n; i++) {
        const at = slots + (((head + i) & mask) << 2);
        this.#run(functionOf(i32[at]), i32[at + 1], i32[at + 2], i32[at + 3]);
      }
      inbox.advance(n);
      done += n;
    } while (n >= least && done < limits.event_batch);
    if (n === 0) inbox.busyTurns = 0;
    this.stats.events += done;
    return done;
  }

  #run(id: number, arg1: number, arg2: number, arg3: number): void {
    try {
      handlers[id](arg1, arg2, arg3);
    } catch (error) {
      this.#fault(error, id);
    }
  }

  /** As #runSelf, each event timed. A function of its own: a branch for each event costs a tenth of the rate. */
  #selfWatched(queue: SelfQueue, watch: StallWatch): number {
    const n = Math.min((queue.tail - queue.head) | 0, limits.event_batch);
    this.stats.events += n;
    for (let i = 0; i < n; i++) {
      const at = (queue.head & queue.mask) << 2;
      queue.head = (queue.head + 1) | 0;
      this.#runWatched(queue.words, at, watch);
    }
    return n;
  }

  /** As #runInbox, each event timed. */
  #inboxWatched(inbox: Inbox, watch: StallWatch): number {
    const n = Math.min(inbox.available(), limits.event_batch);
    this.stats.events += n;
    for (let i = 0; i < n; i++) {
      this.#runWatched(inbox.i32, inbox.slots + (((inbox.head + i) & inbox.mask) << 2), watch);
    }
    inbox.advance(n);
    return n;
  }

  #runWatched(words: Int32Array, at: number, watch: StallWatch): void {
    const id = functionOf(words[at]);
    this.#run(id, words[at + 1], words[at + 2], words[at + 3]);
    const ms = watch.lap();
    if (ms > 0) watch.report(StallDetector.event(id), ms);
  }

  #fault(error: unknown, id: number): void {
    const why = handlers[id] === undefined ? ': its module is not loaded there' : '';
    this.#onFault(error, `event "${eventFnName(id)}" on core ${this.core}${why}`);
  }

  #poll(pollable: Pollable): number {
    try {
      const rc = pollable.poll(limits.msg_batch);
      return rc > 0 ? rc : 0;
    } catch (error) {
      this.#onFault(error, `${pollable.name} on core ${this.core}`);
      return 1;
    }
  }

  #pollWatched(pollable: Pollable, watch: StallWatch): number {
    const rc = this.#poll(pollable);
    const ms = watch.lap();
    if (ms > 0) watch.report(pollable.name, ms);
    return rc;
  }

  /** Makes sent events visible and wakes receivers that sleep. */
  #publish(): void {
    const dirty = this.#dirty;
    let kept = 0;
    for (let i = 0; i < dirty.length; i++) {
      const route = dirty[i];
      route.outbox.publish();
      if (route.outbox.waiting > 0 && this.#hasStopped(route)) route.outbox.discard();
      if (route.outbox.waiting > 0) dirty[kept++] = route;
      else route.dirty = false;
      const sleeping = route.line + coreWord.sleeping;
      if (Atomics.load(this.#words, sleeping) === 1 && Atomics.exchange(this.#words, sleeping, 0) === 1) {
        if (route.doorbell !== null) ringDoorbell(route.doorbell);
        this.lastRingUs = this.clock.nowUs;
      }
    }
    dirty.length = kept;
  }
}

/** The reactor whose turn is running, or whose isolate this is. @throws {SpdkError} ENODEV outside of any. */
export function currentReactor(): Reactor {
  if (current.reactor === null) throw new SpdkError('ENODEV', 'no reactor runs in this context');
  return current.reactor as Reactor;
}

const blockHome = defineEvent('env.heap.home', (ptr) => currentReactor().heap.receive((ptr >>> 0) as Ptr));
