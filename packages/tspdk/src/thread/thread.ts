/**
 * Thread: SPDK's lightweight thread, and what it does in a turn. Data path; creation and exit have their own files.
 *
 * A Thread lives on one reactor from creation to exit. It owns messages, pollers and channels, and everything of it runs inside `poll`,
 * on its reactor's core. Other cores know it by `id` and reach it with `sendMsg(id, ...)` (thread-msg.ts). One turn: the
 * critical message, then up to a batch of messages, then each active poller, then the timed pollers that are due (SPDK's order).
 *
 * Messages of one sender core run in order of sending. `poll` reads no clock on an idle turn; on a busy one it reads it once at
 * the end, so `busyUs` is what the thread really took. Idle is the rest of its life: a core that sleeps is idle too.
 */

import type { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import { type EventFn, type EventHandler, handlers } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import type { Pollable, ThreadHost } from './host.ts';
import type { IoChannel } from './io-channel.ts';
import type { IoDevice } from './io-device.ts';
import { lockStillHeld } from './lock-count.ts';
import { type LocalFn, MessageQueue } from './message-queue.ts';
import { Poller, type PollerOptions } from './poller.ts';
import { PollerSet } from './poller-set.ts';
import { setCpumask, type ThreadStats, threadStats } from './thread-control.ts';
import { createThread, type ThreadOptions, type ThreadRef } from './thread-create.ts';
import { exitStep, startExit, wantsTurn } from './thread-exit.ts';
import { sendFromOutside } from './thread-msg.ts';
import { checkThread } from './wrong-thread.ts';

/** States of a thread (spdk_thread_state). */
export const THREAD_RUNNING = 0;
export const THREAD_EXITING = 1;
export const THREAD_EXITED = 2;

/** A lightweight thread (SPDK: struct spdk_thread), on the core where it lives. Only code that runs on it uses it, but for `create` and `run`. */
export class Thread implements ThreadRef, Pollable {
  readonly host: ThreadHost;
  /** 1 and up, never reused. */
  readonly id: number;
  readonly name: string;
  readonly core: number;
  readonly pollers: PollerSet;
  /** @internal */
  readonly messages = new MessageQueue();
  /** Channels it holds. */
  readonly channels = new Map<IoDevice, IoChannel>();
  /** Spin locks it holds. */
  lockCount = 0;
  /** Iterations it has started and whose completion has not run; they hold its exit back. */
  forEachCount = 0;
  /** Iterations that are at one of its channels and wait for `forEachChannelContinue`; they hold its exit back. */
  visitCount = 0;
  /** io_device unregistrations whose callback it waits for; they hold its exit back. */
  unregisterCount = 0;
  /** @internal one of THREAD_* */
  state: number = THREAD_RUNNING;
  /** @internal when an exiting thread is exited by force */
  exitDeadlineUs = Number.POSITIVE_INFINITY;
  /** @internal cores whose answer the exit waits for; -1 before they are asked */
  fencesOut = -1;
  /** Time of its last turn, µs on the host's clock (spdk_thread_get_last_tsc). */
  lastUs: number;
  /** Time of the turns that did something. */
  busyUs = 0;
  readonly createdUs: number;
  #nextPollerId = 1;
  readonly #words: Int32Array;
  readonly #criticalWord: number;

  /** @internal use `Thread.create` */
  constructor(host: ThreadHost, id: number, name: string) {
    this.host = host;
    this.id = id;
    this.name = name;
    this.core = host.core;
    this.pollers = new PollerSet(this, host.clock);
    this.createdUs = host.clock.read();
    this.lastUs = this.createdUs;
    this.#words = host.shared.words;
    this.#criticalWord = host.shared.criticalWord(id);
  }

  /**
   * Makes a thread on one of the cores in its mask, taking turns (spdk_thread_create). Any core.
   * @returns the Thread itself when it lives on this core, else its name tag.
   * @throws {SpdkError} EINVAL when the mask names no core of the application; ENOSPC; ENAMETOOLONG; ESHUTDOWN.
   */
  static create(host: ThreadHost, options: ThreadOptions = {}): ThreadRef {
    return createThread(host, options);
  }

  get isRunning(): boolean {
    return this.state === THREAD_RUNNING;
  }
  get isExited(): boolean {
    return this.state === THREAD_EXITED;
  }
  get isAppThread(): boolean {
    return this.host.shared.appThread === this.id;
  }

  /**
   * One turn (spdk_thread_poll). The host calls it; not from inside itself.
   * @param maxMsgs messages at most; 0 means limits.msg_batch, which is also the most.
   * @returns > 0 when it did something.
   */
  poll(maxMsgs: number): number {
    const before = current.thread;
    current.thread = this;
    let clean = false;
    try {
      const rc = this.#turn(maxMsgs);
      clean = true;
      return rc;
    } finally {
      if (!clean) this.pollers.recover(this.host.clock.nowUs);
      current.thread = before;
    }
  }

  #turn(maxMsgs: number): number {
    const clock = this.host.clock;
    const { nowUs } = clock;
    const watch = this.host.stallWatch ?? null;
    let rc = 0;
    if (Atomics.load(this.#words, this.#criticalWord) !== 0) rc = this.#runCritical();
    if (this.messages.size > 0) {
      const batch = maxMsgs > 0 && maxMsgs < limits.msg_batch ? maxMsgs : limits.msg_batch;
      this.messages.run(batch, this, watch);
      rc = 1;
    }
    const pollers = this.pollers;
    if (pollers.active.length > 0) {
      const most = pollers.runActive(watch);
      if (most > rc) rc = most;
    }
    if (pollers.timed.nextUs <= nowUs) {
      const most = pollers.runTimed(nowUs, watch);
      if (most > rc) rc = most;
    }
    if (this.state === THREAD_EXITING) exitStep(this, nowUs);
    if (rc > 0) {
      clock.tick();
      this.lastUs = clock.nowUs;
      this.busyUs += clock.nowUs - nowUs;
    } else this.lastUs = nowUs;
    return rc;
  }

  /** When this thread needs its next turn; see Pollable. */
  nextPollUs(): number {
    if (this.messages.size > 0 || this.pollers.restless > 0 || this.pollers.untidy) return 0;
    if (Atomics.load(this.#words, this.#criticalWord) !== 0) return 0;
    if (this.state === THREAD_EXITING && wantsTurn(this)) return 0;
    return Math.min(this.pollers.timed.nextUs, this.exitDeadlineUs);
  }

  /**
   * Runs `fn` on this thread in a coming turn, with `fn(arg1, arg2, 0)`. This core, in or out of a turn; other cores: `sendMsg(id, ...)`.
   * @throws {SpdkError} EIO when it has exited; ENOMEM when limits.thread_messages_max messages wait.
   */
  sendMsg(fn: EventFn, arg1: number, arg2: number): void {
    if (current.reactor !== this.host && current.reactor !== null) {
      sendFromOutside(this, fn, arg1, arg2);
      return;
    }
    if (this.state === THREAD_EXITED || this.messages.full) this.#refuse(fn.name);
    this.messages.push(fn.id, arg1, arg2);
    if (current.thread === null) this.host.kick();
  }

  /**
   * Runs `fn(ctx)` on this thread in a coming turn; `ctx` may be any object, so this reactor only.
   * @throws {SpdkError} as sendMsg; EWRONGTHREAD on another reactor.
   */
  sendLocalMsg<C>(fn: (ctx: C) => void, ctx: C): void {
    if (current.reactor !== this.host && current.reactor !== null) checkThread(this, 'Thread.sendLocalMsg', fn.name);
    if (this.state === THREAD_EXITED || this.messages.full) this.#refuse(fn.name);
    this.messages.pushLocal(fn as LocalFn, ctx);
    if (current.thread === null) this.host.kick();
  }

  /** @internal A message of the kit's own: taken even when the queue is full, and while the thread exits. */
  sendInternal<C>(fn: (ctx: C) => void, ctx: C): void {
    this.messages.pushLocal(fn as LocalFn, ctx);
    if (current.thread === null) this.host.kick();
  }

  /** Calls `fn` as if it ran on this thread (SPDK: spdk_set_thread around it): for control code of this reactor. Returns what it returns. */
  run<T>(fn: () => T): T {
    const [thread, reactor] = [current.thread, current.reactor];
    current.thread = this;
    current.reactor = this.host;
    try {
      return fn();
    } finally {
      current.thread = thread;
      current.reactor = reactor;
      this.host.kick();
    }
  }

  /**
   * Calls `fn` every turn or every `periodUs` from now on (spdk_poller_register_named).
   * @throws {SpdkError} EWRONGTHREAD; EIO when the thread has exited; EINVAL, ENAMETOOLONG for its options.
   */
  registerPoller<C = undefined>(options: PollerOptions<C>): Poller {
    checkThread(this, 'Thread.registerPoller', options.name ?? options.fn.name);
    if (this.state === THREAD_EXITED) this.#refuse(`poller ${options.name ?? options.fn.name}`);
    const poller = new Poller(this, this.pollers, this.#nextPollerId++, options as PollerOptions<unknown>);
    this.pollers.add(poller);
    if (current.thread === null) this.host.kick();
    return poller;
  }

  /** Leaves when everything is unregistered, released and run (spdk_thread_exit). A second time does nothing. @throws {SpdkError} EWRONGTHREAD. */
  exit(): void {
    checkThread(this, 'Thread.exit', this.name);
    startExit(this);
    if (current.thread === null) this.host.kick();
  }

  /** Ties it to its core: a scheduler must not move it (spdk_thread_bind). @throws {SpdkError} EWRONGTHREAD. */
  bind(bound: boolean): void {
    checkThread(this, 'Thread.bind', this.name);
    this.host.shared.setBound(this.id, bound);
  }
  get isBound(): boolean {
    return this.host.shared.facts(this.id)?.bound ?? false;
  }

  /** Where it may run. @throws {SpdkError} EIO once it has exited. */
  get cpumask(): Cpuset {
    const facts = this.host.shared.facts(this.id);
    if (facts === null) this.#refuse('cpumask');
    return facts.cpumask;
  }

  /**
   * Changes where it may run (spdk_thread_set_cpumask).
   * @throws {SpdkError} EWRONGTHREAD; EINVAL when the mask names no core of the application; ENOTSUP when it excludes the core that carries it.
   */
  setCpumask(cpumask: Cpuset): void {
    checkThread(this, 'Thread.setCpumask', this.name);
    setCpumask(this, cpumask);
  }

  /** Busy and idle time (spdk_thread_get_stats). This core. */
  stats(): ThreadStats {
    return threadStats(this);
  }

  /** Whether any poller is registered, paused ones included (spdk_thread_has_pollers). */
  get hasPollers(): boolean {
    return this.pollers.registered > 0;
  }
  /** spdk_thread_has_active_pollers. */
  get hasActivePollers(): boolean {
    return this.pollers.active.length > 0;
  }
  /** No message waits and no poller is unpaused (spdk_thread_is_idle). */
  get isIdle(): boolean {
    const { active, timed } = this.pollers;
    return this.messages.size === 0 && active.length === 0 && timed.size === 0 && !this.criticalWaits;
  }
  /** When the earliest timed poller is due; Infinity when there is none (spdk_thread_next_poller_expiration). */
  get nextExpirationUs(): number {
    return this.pollers.timed.nextUs;
  }

  /** Whether a critical message waits or runs. */
  get criticalWaits(): boolean {
    return Atomics.load(this.#words, this.#criticalWord) !== 0;
  }

  /** Runs it, then empties the slot, as SPDK does: one that is sent meanwhile is refused. */
  #runCritical(): number {
    // While it runs the word is -1: its sender cannot take it back any more.
    const fn = Atomics.exchange(this.#words, this.#criticalWord, -1) - 1;
    try {
      if (fn < 0) return 0;
      (handlers[fn] as EventHandler)(0, 0, 0);
      if (this.lockCount !== 0) lockStillHeld(this, 'a critical message');
    } finally {
      Atomics.store(this.#words, this.#criticalWord, 0);
    }
    return 1;
  }

  #refuse(what: string): never {
    if (this.state === THREAD_EXITED) {
      throw new SpdkError('EIO', `${what}: thread ${this.name}:${this.id} has exited`);
    }
    throw new SpdkError(
      'ENOMEM',
      `${what}: ${this.messages.size} messages wait for thread ${this.name}:${this.id}, limit ${limits.thread_messages_max}`,
    );
  }
}

/** The thread whose turn this is, or null (spdk_get_thread). */
export function currentThread(): Thread | null {
  return current.thread as Thread | null;
}
