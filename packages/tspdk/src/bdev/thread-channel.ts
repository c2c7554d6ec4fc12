/**
 * What one lightweight thread shares for one disk (SPDK: spdk_bdev_channel): the module's channel, what is outstanding, counters, and
 * the queue of I/Os for which the module had no memory. All descriptors of the thread submit through it. Data path.
 *
 * -ENOMEM from the module is not an error for the submitter: the I/O waits here, those after it behind it, and is tried
 * again when enough of what is outstanding has completed, or after a moment when nothing is.
 */
import type { Clock } from '../env/clock.ts';
import { current } from '../env/current.ts';
import { assert } from '../env/errors.ts';
import type { Thread } from '../thread/index.ts';
import type { Bdev } from './bdev.ts';
import { type BdevIo, type BdevIoPool, IO_DONE, IO_QUEUED, IO_SUBMITTED, type IoSink } from './bdev-io.ts';
import { carryOut } from './carry-out.ts';
import type { Gates } from './gates.ts';
import { IoStat } from './io-stat.ts';
import { IO_FLAG_EMULATED, IO_RESET } from './io-type.ts';
import { isChild, LayerIo } from './layer-io.ts';
import type { BdevManager } from './manager.ts';
import type { BackendChannel } from './module.ts';
import { ECANCELED, EIO, ENODEV, ENOMEM } from './status.ts';
import { WriteWindows } from './write-windows.ts';

/** Outstanding I/Os that must complete before the module is asked again (SPDK: NOMEM_THRESHOLD_COUNT). */
const NOMEM_THRESHOLD = 8;
/** When nothing is outstanding, time alone must help. */
const NOMEM_RETRY_US = 10;

export class ThreadChannel implements IoSink {
  readonly bdev: Bdev;
  readonly thread: Thread | null;
  readonly stat = new IoStat();
  readonly manager: BdevManager;
  readonly backend: BackendChannel;
  /** What is being written in place. */
  readonly windows = new WriteWindows();
  /** With the module, or carried out by the layer. */
  outstanding = 0;
  /** Descriptors' channels that use this one. */
  refs = 0;
  /** Resets under way: what comes now is aborted. */
  resetting = 0;
  /** Of `outstanding`, those that are resets. */
  resets = 0;
  /** Of `outstanding`, those that the layer itself carries out, by others. */
  layered = 0;
  /** What may hold I/Os back; null: nothing does. Set by the bdev. */
  gates: Gates | null = null;
  readonly #pool: BdevIoPool;
  readonly #clock: Clock;
  #nomemHead: BdevIo | null = null;
  #nomemTail: BdevIo | null = null;
  #nomemCount = 0;
  /** Submit again once `outstanding` is down to this. */
  #nomemThreshold = 0;
  #retryPending = false;
  #closed = false;

  constructor(bdev: Bdev, thread: Thread | null, backend: BackendChannel) {
    this.bdev = bdev;
    this.thread = thread;
    this.manager = bdev.manager;
    this.#pool = this.manager.pool;
    this.#clock = this.manager.reactor.clock;
    this.backend = backend;
  }

  /** Queued for lack of memory in the module. */
  get queued(): number {
    return this.#nomemCount;
  }

  /** An I/O of a user. */
  begin(io: BdevIo): void {
    this.stamp(io);
    if (this.gates === null) this.carry(io);
    else this.gates.admit(io);
  }

  /** `io` is this channel's, from now. */
  stamp(io: BdevIo): void {
    io.sink = this;
    this.#pool.submitUs[io.index] = this.#clock.nowUs;
  }

  /** An I/O that nothing holds back. */
  carry(io: BdevIo): void {
    const { faults } = this.bdev;
    if (faults === null || !faults.strike(this, io)) this.perform(io);
  }

  /** To the module, or in pieces, or by others. */
  perform(io: BdevIo): void {
    if (this.#isPlain(io)) this.submit(io);
    else carryOut(this, io);
  }

  /** The module takes it as it is. */
  #isPlain(io: BdevIo): boolean {
    const { bdev } = this;
    const bit = 1 << io.type;
    return (
      (bdev.plainTypes & bit) !== 0 ||
      ((bdev.moduleIoTypes & bit) !== 0 && bdev.metadata?.concerns(io) !== true && !bdev.split.mustSplit(io))
    );
  }

  /** To the module. */
  submit(io: BdevIo): void {
    if (this.resetting > 0) this.#completeHere(io, ECANCELED);
    else if (this.#nomemHead !== null) this.#queueNomem(io);
    else this.#give(io);
  }

  /** Ends an I/O that has not begun; its submitter hears of it later. */
  fail(io: BdevIo, status: number): void {
    this.#completeHere(io, status);
  }

  /** As if the module had no memory for it. */
  refuse(io: BdevIo): void {
    this.#queueNomem(io);
  }

  #give(io: BdevIo): void {
    const manager = this.manager;
    io.state = IO_SUBMITTED;
    this.outstanding++;
    manager.depth++;
    try {
      this.backend.submit(io);
    } catch (error) {
      manager.depth--;
      this.#submitThrew(io, error);
      return;
    }
    manager.depth--;
  }

  /** An I/O that the layer itself carries out, by others. */
  beginEmulated(io: BdevIo): void {
    this.stamp(io);
    io.state = IO_SUBMITTED;
    this.outstanding++;
    this.layered++;
    if (io.type === IO_RESET) this.resets++;
  }

  /** What `beginEmulated` began is done. */
  endEmulated(io: BdevIo, status: number): void {
    this.layered--;
    this.complete(io, status);
  }

  #submitThrew(io: BdevIo, error: unknown): void {
    this.manager.onCallbackError(error);
    if (io.state === IO_SUBMITTED && io.sink === this) {
      this.outstanding--;
      this.#completeHere(io, EIO);
    }
  }

  /** An I/O that the module never had, or has no more, ends here; always later. */
  #completeHere(io: BdevIo, status: number): void {
    this.outstanding++;
    io.state = IO_DONE;
    io.status = status;
    this.manager.defer(io);
  }

  complete(io: BdevIo, status: number): void {
    if (io.state !== IO_SUBMITTED) this.#completedTwice();
    if (status === ENOMEM) {
      if (!this.bdev.removing) {
        this.outstanding--;
        this.#queueNomem(io);
        return;
      }
      status = ENODEV;
    }
    io.state = IO_DONE;
    io.status = status;
    if (this.manager.depth > 0) this.manager.defer(io);
    else this.finish(io);
  }

  #completedTwice(): never {
    throw new Error(`assertion failed: module "${this.bdev.moduleName}" completes an I/O of "${this.bdev.name}" once`);
  }

  finish(io: BdevIo): void {
    const pool = this.#pool;
    const { cb, ctx } = io;
    const { meter } = this.bdev;
    let status = io.status;
    this.outstanding--;
    if (io.type === IO_RESET) this.resets--;
    if (status === 0) {
      if (this.bdev.removing) status = ENODEV;
      if ((io.flags & IO_FLAG_EMULATED) === 0) {
        this.stat.count(io.type, io.bytes, this.#clock, this.#pool.submitUs, io.index);
      }
    } else if ((io.flags & IO_FLAG_EMULATED) === 0) {
      this.stat.countError(status);
    }
    if (meter !== null && !isChild(io)) meter.tally(io.type, this.#clock, pool.submitUs, io.index);
    pool.put(io);
    if (this.#nomemHead !== null) this.#retryNomem();
    if (pool.waiting > 0) pool.wake();
    const thread = current.thread;
    current.thread = this.thread;
    try {
      cb(ctx, status);
    } finally {
      current.thread = thread;
    }
    if (this.refs === 0) this.#closeWhenIdle();
  }

  #queueNomem(io: BdevIo): void {
    io.state = IO_QUEUED;
    io.next = null;
    if (this.#nomemTail === null) this.#nomemHead = io;
    else this.#nomemTail.next = io;
    this.#nomemTail = io;
    this.#nomemCount++;
    if (this.#nomemCount === 1) {
      this.#raiseThreshold();
    }
    // Nothing is left whose completion would bring us back here.
    if (this.#withModule === 0) this.#retryLater();
  }

  /** What the layer carries out may wait for what is queued here, and does not count. */
  get #withModule(): number {
    return this.outstanding - this.layered;
  }

  #raiseThreshold(): void {
    this.#nomemThreshold = Math.max(this.#withModule >> 1, this.#withModule - NOMEM_THRESHOLD);
  }

  #retryLater(): void {
    if (this.#retryPending) return;
    this.#retryPending = true;
    this.manager.retryAfter(NOMEM_RETRY_US, this);
  }

  /** Time has passed with nothing outstanding. */
  retry(): void {
    this.#retryPending = false;
    this.#nomemThreshold = Math.max(this.#nomemThreshold, this.#withModule);
    this.#retryNomem();
  }

  #retryNomem(): void {
    if (this.#withModule > this.#nomemThreshold) return;
    while (this.#nomemHead !== null) {
      const io = this.#takeNomem();
      const before = this.#nomemCount;
      if (this.#isPlain(io)) this.#give(io);
      else carryOut(this, io);
      if (this.#nomemCount > before) {
        // Refused again: back to its place at the head.
        this.#putBackFirst();
        this.#raiseThreshold();
        if (this.#withModule === 0) this.#retryLater();
        return;
      }
    }
  }

  #takeNomem(): BdevIo {
    const io = this.#nomemHead as BdevIo;
    this.#nomemHead = io.next;
    if (this.#nomemHead === null) this.#nomemTail = null;
    io.next = null;
    this.#nomemCount--;
    return io;
  }

  /** The last in the queue becomes the first. */
  #putBackFirst(): void {
    const last = this.#nomemTail as BdevIo;
    if (this.#nomemHead === last) return;
    let before = this.#nomemHead as BdevIo;
    while (before.next !== last) before = before.next as BdevIo;
    before.next = null;
    this.#nomemTail = before;
    last.next = this.#nomemHead;
    this.#nomemHead = last;
  }

  /** Ends what the module does not have yet (SPDK: bdev_abort_all_queued_io). */
  abortQueued(status: number): void {
    while (this.#nomemHead !== null) this.#completeHere(this.#takeNomem(), status);
    for (const io of this.gates?.removeAll() ?? []) this.#completeHere(io, status);
  }

  /** Ends `io` early. True when that is done or under way. */
  abort(io: BdevIo): boolean {
    if (io.driver instanceof LayerIo) return io.driver.abort();
    if (io.state === IO_QUEUED) {
      if (this.gates?.remove(io) === true) {
        this.#completeHere(io, ECANCELED);
        return true;
      }
      const kept: BdevIo[] = [];
      while (this.#nomemHead !== null) {
        const queued = this.#takeNomem();
        if (queued === io) this.#completeHere(io, ECANCELED);
        else kept.push(queued);
      }
      for (const other of kept) this.#queueNomem(other);
      return true;
    }
    return io.state === IO_SUBMITTED && this.backend.abort !== undefined && this.backend.abort(io);
  }

  /** A descriptor's channel is done with this one. */
  release(): void {
    assert(this.refs > 0, 'a bdev channel is released once per reference');
    this.refs--;
    if (this.refs === 0) this.#closeWhenIdle();
  }

  #closeWhenIdle(): void {
    if (this.#closed || this.outstanding > 0 || this.#nomemCount > 0 || (this.gates?.count ?? 0) > 0) return;
    this.#closed = true;
    this.bdev.channels.delete(this);
    if (this.bdev.bareChannel === this) this.bdev.bareChannel = null;
    this.bdev.pastStat.add(this.stat);
    this.backend.close();
    this.bdev.checkReleased();
  }
}
