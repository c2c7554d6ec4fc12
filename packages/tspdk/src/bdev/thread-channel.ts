/**
 * What one lightweight thread shares for one disk (SPDK: spdk_bdev_channel): the module's channel, what is outstanding, counters, and
 * the queue of I/Os for which the module had no memory. All descriptors of the thread submit through it. Data path.
 *
 * -ENOMEM from the module is not an error for the submitter: the I/O waits here, those after it behind it, and is tried
 * again when enough of what is outstanding has completed, or when nothing is, after a moment. When it was a BdevIo in a disk below that the module did not get (`BdevChannel.forward`), the channel
 * then waits in the pool for its turn, as it might look in vain for ever.
 *
 * Disks on disks. A module may say that its reads and writes go on to a disk below as they are (`BackendChannel.onward`). Such an I/O needs no second BdevIo: it goes on itself, and is
 * then under way in each disk on its way, counted in each and told of by each as if it had one in each. `io.sink` stays the channel that it was submitted to; `io.levels`
 * says how many disks further down it is, and `io.byteOffset` is its place there. What is between is found by walking from the sink down, which the
 * channels' `onward` determines. It goes on only where nothing below wants to look at it: no gate, fault, split, metadata, reset or queue; else the module gets it.
 * What comes later (a lock, a reset, an abort) looks for it with `offsetIn`.
 */
import type { Clock } from '../env/clock.ts';
import { current } from '../env/current.ts';
import { assert } from '../env/errors.ts';
import type { Thread } from '../thread/index.ts';
import type { Bdev } from './bdev.ts';
import {
  type BdevIo,
  type BdevIoDone,
  type BdevIoPool,
  IO_DONE,
  IO_QUEUED,
  IO_SUBMITTED,
  type IoSink,
  type IoWaitEntry,
} from './bdev-io.ts';
import { carryOut } from './carry-out.ts';
import type { Gates } from './gates.ts';
import { NO_RANK } from './io-rank.ts';
import { IoStat } from './io-stat.ts';
import { IO_FLAGS_UNCOUNTED, IO_RESET } from './io-type.ts';
import { isChild, LayerIo } from './layer-io.ts';
import type { BdevManager } from './manager.ts';
import type { BackendChannel, Onward } from './module.ts';
import { ECANCELED, EIO, ENODEV, ENOMEM } from './status.ts';
import { WriteWindows } from './write-windows.ts';

/** Outstanding I/Os that must complete before the module is asked again (SPDK: NOMEM_THRESHOLD_COUNT). */
const NOMEM_THRESHOLD = 8;
/** When nothing is outstanding, time alone must help. */
const NOMEM_RETRY_US = 10;

export class ThreadChannel implements IoSink, IoWaitEntry {
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
  /** Where the module's reads and writes go on to as they are; null: they do not. */
  readonly #onward: Onward | null;
  /** The channel there; this one, where there is none. */
  readonly #below: ThreadChannel;
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
    this.#onward = backend.onward ?? null;
    this.#below = this.#onward?.base.shared ?? this;
  }

  /** Queued for lack of memory in the module. */
  get queued(): number {
    return this.#nomemCount;
  }

  /** Nothing holds back what comes. */
  get free(): boolean {
    return this.gates === null && this.resetting === 0 && this.#nomemHead === null;
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
    const { manager } = this;
    const onward = this.#onward;
    this.outstanding++;
    if (onward?.base.takesAsIs(io, onward.offsetBytes) === true) {
      io.levels++;
      if (onward.offsetBytes !== 0) io.byteOffset += onward.offsetBytes;
      this.#below.#give(io);
      return;
    }
    io.state = IO_SUBMITTED;
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
    if (io.state === IO_SUBMITTED && offsetIn(io, this) >= 0) {
      this.outstanding--;
      this.#completeHere(io, EIO);
    }
  }

  /** An I/O that the module never had, or has no more, ends here; always later. */
  #completeHere(io: BdevIo, status: number): void {
    this.outstanding++;
    if (io.type === IO_RESET) this.resets++;
    io.state = IO_DONE;
    io.status = status;
    this.manager.defer(io);
  }

  complete(io: BdevIo, status: number): void {
    if (io.state !== IO_SUBMITTED) this.#completedTwice();
    // A reset has nothing to wait for: it says what is below.
    if (status === ENOMEM && io.type !== IO_RESET) {
      const holder = this.#holder(io);
      if (this.#isReset(io)) status = ECANCELED;
      else if (!holder.bdev.removing) {
        holder.outstanding--;
        holder.#queueNomem(io);
        return;
      } else status = ENODEV;
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
    const { cb, ctx, levels } = io;
    const below = levels === 0 ? io.status : this.#settleBelow(io);
    const status = this.#account(io, below, isChild(io));
    if (io.type === IO_RESET) this.resets--;
    pool.put(io);
    if (levels > 0) this.#makeRoomBelow(levels);
    if (this.#nomemHead !== null) this.#retryNomem();
    if (pool.waiting > 0) pool.wake();
    // Before the callback, which may throw.
    if (this.refs === 0) this.#closeWhenIdle();
    const thread = current.thread;
    if (thread === this.thread) cb(ctx, status);
    else this.#callOnThread(cb, ctx, status, thread);
  }

  /** Counts an I/O that has come back. Returns the status for whoever is above. */
  #account(io: BdevIo, status: number, child: boolean): number {
    const { bdev } = this;
    this.outstanding--;
    // The flags are about the disk that it was submitted to.
    if ((io.flags & IO_FLAGS_UNCOUNTED) === 0 || io.sink !== this) {
      if (status === 0) this.stat.count(io.type, io.bytes, this.#clock, this.#pool.submitUs, io.index);
      else this.stat.countError(status);
    }
    if (bdev.meter !== null && !child) bdev.meter.tally(io.type, this.#clock, this.#pool.submitUs, io.index);
    return status === 0 && bdev.removing ? ENODEV : status;
  }

  /** Counts an I/O that has come back in the disks below that it went on to. Returns the status for this one. */
  #settleBelow(io: BdevIo): number {
    let status = this.#below.#account(io, io.status, false);
    for (let at = this.#below, left = io.levels - 1; left > 0; left--) {
      at = at.#below;
      const told = at.#account(io, io.status, false);
      if (status === 0) status = told;
    }
    return status;
  }

  /** What waits in the disks below may have room now. */
  #makeRoomBelow(levels: number): void {
    for (let at = this.#below, left = levels; left > 0; left--, at = at.#below) {
      if (at.#nomemHead !== null) at.#retryNomem();
      if (at.refs === 0) at.#closeWhenIdle();
    }
  }

  /** Called back from code of another thread, or of none. */
  #callOnThread(cb: BdevIoDone, ctx: unknown, status: number, thread: unknown): void {
    current.thread = this.thread;
    try {
      cb(ctx, status);
    } finally {
      current.thread = thread;
    }
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
    if (this.withModule === 0) this.#retryLater();
  }

  /** What the layer carries out may wait for what is queued here, or be held back by a fault, and does not count. */
  get withModule(): number {
    return this.outstanding - this.layered;
  }

  #raiseThreshold(): void {
    this.#nomemThreshold = Math.max(this.withModule >> 1, this.withModule - NOMEM_THRESHOLD);
  }

  #retryLater(): void {
    if (this.#retryPending) return;
    this.#retryPending = true;
    const refused = this.#nomemHead?.refusedRank ?? NO_RANK;
    if (refused === NO_RANK) this.manager.retryAfter(NOMEM_RETRY_US, this);
    else this.manager.waitForIo(this, this.thread, refused);
  }

  /** Nobody here waits for a BdevIo below any more. */
  #leavePool(): void {
    if (this.#pool.cancelWait(this)) this.#retryPending = false;
  }

  /** There is the BdevIo that its module did not get in a disk below. */
  onReady(): void {
    this.retry();
  }

  /** Time has passed with nothing outstanding. */
  retry(): void {
    this.#retryPending = false;
    this.#nomemThreshold = Math.max(this.#nomemThreshold, this.withModule);
    this.#retryNomem();
  }

  #retryNomem(): void {
    if (this.withModule > this.#nomemThreshold) return;
    while (this.#nomemHead !== null) {
      const io = this.#takeNomem();
      const before = this.#nomemCount;
      if (this.#isPlain(io)) this.#give(io);
      else carryOut(this, io);
      if (this.#nomemCount > before) {
        // Refused again: back to its place at the head.
        this.#putBackFirst();
        this.#raiseThreshold();
        if (this.withModule === 0) this.#retryLater();
        return;
      }
    }
  }

  #takeNomem(): BdevIo {
    const io = this.#nomemHead as BdevIo;
    this.#nomemHead = io.next;
    if (this.#nomemHead === null) this.#nomemTail = null;
    io.next = null;
    io.refusedRank = NO_RANK;
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
    this.#leavePool();
    for (const io of this.gates?.removeAll() ?? []) this.#completeHere(io, status);
  }

  /** Which disk has `io`, one that was submitted here: this, or one further down. */
  #holder({ levels }: BdevIo): ThreadChannel {
    let holder: ThreadChannel = this;
    for (; levels > 0; levels--) holder = holder.#below;
    return holder;
  }

  /** Whether a disk that has `io`, one that was submitted here, under way is being reset. */
  #isReset({ levels }: BdevIo): boolean {
    let at: ThreadChannel = this;
    for (let left = levels; left > 0 && at.resetting === 0; left--) at = at.#below;
    return at.resetting > 0;
  }

  /** Where an I/O that was submitted here is in the disk of `channel`; -1 when it is not under way there. */
  offsetBelow(io: BdevIo, channel: ThreadChannel): number {
    let at: ThreadChannel = this;
    let offset = -1;
    for (let left = io.levels; ; left--) {
      if (at === channel) offset = io.byteOffset;
      if (left === 0) return offset;
      if (offset >= 0) offset -= (at.#onward as Onward).offsetBytes;
      at = at.#below;
    }
  }

  /** Ends `io`, one that was submitted here, early. True when that is done or under way. */
  abort(io: BdevIo): boolean {
    return this.#holder(io).#abort(io);
  }

  #abort(io: BdevIo): boolean {
    if (io.driver instanceof LayerIo) return io.driver.abort();
    if (io.type === IO_RESET) return false;
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
      this.#leavePool();
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
    // Its last I/O may have come back in another thread's turn, and the module closes what is this one's: channels of what it stands on.
    const { thread } = current;
    current.thread = this.thread;
    try {
      this.backend.close();
    } finally {
      current.thread = thread;
    }
    this.bdev.checkReleased();
  }
}

/**
 * Where `io` is in the disk of `channel`, in bytes; -1 when it is not under way there: it was neither submitted there nor has it gone on to it from a disk above.
 * Not a data path.
 */
export function offsetIn(io: BdevIo, channel: ThreadChannel): number {
  if (io.state !== IO_SUBMITTED && io.state !== IO_QUEUED) return -1;
  if (io.levels === 0) return io.sink === channel ? io.byteOffset : -1;
  return (io.sink as ThreadChannel).offsetBelow(io, channel);
}
