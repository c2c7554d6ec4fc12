/**
 * When turns run: the loop that lives inside Node's event loop and lets it have its share.
 *
 * Busy: turns run back to back for a slice (50 µs), then libuv has a turn, through an ordinary immediate. So promises, timers, sockets and
 * any library work on any reactor. What a turn has called that answers by promise mostly answers at once, and is heard only when the slice has ended: so a turn that says so
 * (`Reactor.promised`) is the slice's last. Idle, in `adaptive` mode: after `idle_poll_us` without work the core says that it sleeps, looks once more, and
 * leaves behind an *unref'd* immediate. libuv then blocks, with its own timers and watchers right; whatever wakes it (the doorbell, a
 * ring completion through the same eventfd, a socket, a timer, a message) runs that immediate, which is the next turn. `poll` mode never sleeps.
 *
 * A timer's callback runs before libuv blocks, not after; if it adds work (`kick`), the immediate is made ordinary again, so that
 * libuv does not block at all. That is why adding work outside a turn must kick.
 *
 * Timed pollers: a sleeping core sets a timer for the earliest. libuv's timers have millisecond steps, so what is due within a millisecond is waited
 * for by polling: a poller with a shorter period than that keeps its core awake.
 */
import type { Doorbell } from '../env/doorbell.ts';
import { limits } from '../env/limits.ts';
import { DeviceWait } from './device-wait.ts';
import { type EventLoop, type LoopImmediate, nodeEventLoop } from './event-loop.ts';
import type { Reactor } from './reactor.ts';

/** A shorter nap costs more than it spares. */
const NAP_US_MIN = 3;

/** How a reactor spends idle time. */
export interface LoopOptions {
  /** `adaptive` sleeps when idle; `poll` never does and takes a whole core. */
  readonly mode: 'adaptive' | 'poll';
  /** Polling after the last work before sleeping, µs. */
  readonly idlePollUs?: number;
  /** Doorbell without FFI, for tests. */
  readonly nativeDoorbell?: boolean;
}

const STALL_US = limits.stall_ms * 1000;

/** Drives one reactor from its thread's event loop. */
export class ReactorLoop {
  readonly reactor: Reactor;
  readonly doorbell: Doorbell;
  readonly #poll: boolean;
  readonly #idlePollUs: number;
  readonly #events: EventLoop;
  #immediate: LoopImmediate | null = null;
  #timer: unknown = null;
  #timerAtUs = Number.POSITIVE_INFINITY;
  #lastWorkUs = 0;
  #sleeping = false;
  /** When the turns were last looked at, and so, between slices, when the last one ended. */
  #lookedUs = Number.POSITIVE_INFINITY;
  /** When the core went to sleep; 0 when it did not since the last slice. */
  #sleptFromUs = 0;
  readonly #device = new DeviceWait();
  /** When the last nap began. */
  #napFromUs = 0;
  #stopped = false;
  /** How often the core went to sleep. */
  sleeps = 0;

  /** @param events the thread's event loop; the simulator gives its own. */
  constructor(reactor: Reactor, options: LoopOptions, events: EventLoop = nodeEventLoop) {
    this.reactor = reactor;
    this.#events = events;
    this.#poll = options.mode === 'poll';
    this.#idlePollUs = options.idlePollUs ?? limits.idle_poll_us;
    this.doorbell = events.openDoorbell(options.nativeDoorbell === undefined ? {} : { native: options.nativeDoorbell });
    reactor.onKick = () => this.#kick();
  }

  /** Begins to make turns. */
  start(): void {
    this.#lastWorkUs = this.reactor.clock.read();
    this.reactor.naps = !this.#poll && this.reactor.ring?.canNap === true;
    this.#immediate = this.#events.setImmediate(this.#slice);
  }

  /** Makes no more turns and closes the doorbell; other cores must have stopped sending. */
  stop(): void {
    this.#stopped = true;
    this.reactor.onKick = () => {};
    if (this.#immediate !== null) this.#events.clearImmediate(this.#immediate);
    if (this.#timer !== null) this.#events.clearTimeout(this.#timer);
    this.#immediate = null;
    this.#timer = null;
    this.doorbell.close();
  }

  #kick(): void {
    if (this.#stopped || !this.#sleeping) return;
    this.#sleeping = false;
    this.reactor.awake();
    this.#immediate?.ref();
  }

  readonly #slice = (): void => {
    if (this.#stopped) return;
    const reactor = this.reactor;
    if (this.#sleeping) {
      this.#sleeping = false;
      reactor.awake();
    }
    this.#immediate = null;
    reactor.promised = false;
    const clock = reactor.clock;
    clock.tick();
    const start = clock.nowUs;
    if (this.#sleptFromUs > 0) {
      reactor.stalls.slept(start - this.#sleptFromUs);
      this.#sleptFromUs = 0;
    } else if (start - this.#lookedUs > STALL_US) reactor.stalls.outsideTook((start - this.#lookedUs) / 1000);
    this.#lookedUs = start;
    let end = start + limits.slice_us;
    let idle = false;
    do {
      const done = reactor.turn();
      if (done > 0) {
        this.#lastWorkUs = clock.nowUs;
        if (this.#device.waits) this.#device.ended(clock.nowUs);
      } else if (!this.#poll && clock.nowUs - this.#lastWorkUs >= this.#patienceUs())
        idle = reactor.napUntilUs === 0 && !this.#expectsAnswer();
      if (this.#stopped) return;
      if (reactor.promised) break;
      if (this.#mayNap && !idle && this.#nap(done === 0)) {
        end = Math.min(end + clock.nowUs - this.#napFromUs, start + limits.napping_slice_us);
      }
      if (clock.nowUs !== this.#lookedUs) this.#look();
    } while (clock.nowUs < end && !idle);
    clock.tick();
    this.#look();
    reactor.stalls.sample();
    if (idle) this.#sleep(clock.nowUs);
    else this.#immediate = this.#events.setImmediate(this.#slice);
  };

  /** How long after the last work this core goes to sleep: later while I/O is gathered or a device works, for a nap costs less than to be woken through libuv. */
  #patienceUs(): number {
    return this.#mayNap ? Math.max(this.#idlePollUs, limits.napping_slice_us) : this.#idlePollUs;
  }

  get #mayNap(): boolean {
    return this.reactor.gatherers + this.reactor.awaited > 0;
  }

  /** Whether this core has just woken another, which may answer: that takes longer than an idle core polls, and to be woken for it as long again. */
  #expectsAnswer(): boolean {
    return this.reactor.clock.nowUs - this.reactor.lastRingUs < limits.answer_poll_us;
  }

  /**
   * Sleeps in the ring, not in libuv: until the time that work was put off to, or, in an idle moment and where there is something to submit, until
   * something completes. For a device only in idle moments, and so long that it does not have to wait (device-wait.ts). Never past the time at which the core would sleep for
   * real. Other cores' events wait as long. True when it slept, since #napFromUs: that time is not counted as the slice's, up to a bound.
   */
  #nap(idle: boolean): boolean {
    const reactor = this.reactor;
    const { clock } = reactor;
    if (reactor.ring === null) return false;
    const forDevice = reactor.awaited > 0 && reactor.napUntilUs === 0;
    const waits = idle || (reactor.ring.queued > 0 && !forDevice);
    const until = reactor.napUntilUs > 0 ? reactor.napUntilUs : waits ? this.#lastWorkUs + this.#patienceUs() : 0;
    if (until === 0 || reactor.hasWork()) return false;
    clock.tick();
    const from = clock.nowUs;
    let us = Math.min(until, reactor.nextPollUs()) - from;
    if (forDevice) us = Math.min(us, this.#device.napUs(clock));
    us |= 0;
    if (us < NAP_US_MIN || !reactor.ring.nap(us)) return false;
    this.#napFromUs = from;
    reactor.napped();
    if (forDevice) this.#device.napped(us, clock.nowUs - from, clock.nowUs);
    return true;
  }

  /** Time has passed: did the turns since the last look stall? */
  #look(): void {
    const { clock, stalls } = this.reactor;
    const before = this.#lookedUs;
    const now = clock.nowUs;
    this.#lookedUs = now;
    if (now - before > STALL_US) stalls.turnsTook((now - before) / 1000, before);
    else stalls.turnsWereShort();
  }

  #sleep(nowUs: number): void {
    const reactor = this.reactor;
    const nextUs = reactor.nextPollUs();
    this.#immediate = this.#events.setImmediate(this.#slice);
    // Something wants a turn before libuv's timers could give one: keep turning, libuv gets its share each slice.
    if (nextUs - nowUs < 1000) return;
    if (!reactor.prepareSleep()) return;
    this.#setTimer(nextUs, nowUs);
    this.#sleeping = true;
    this.#sleptFromUs = nowUs;
    this.sleeps++;
    this.#immediate.unref();
  }

  /** A timer that wakes libuv when the earliest timed poller is due; its callback has nothing to do. */
  #setTimer(nextUs: number, nowUs: number): void {
    if (nextUs === this.#timerAtUs && this.#timer !== null) return;
    if (this.#timer !== null) this.#events.clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerAtUs = nextUs;
    if (nextUs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#events.setTimeout(
      () => {
        this.#timer = null;
        this.#kick();
      },
      Math.min(Math.floor((nextUs - nowUs) / 1000), 0x7fffffff),
    );
  }
}
