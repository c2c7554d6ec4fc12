/**
 * I/O of a disk that lives on one core, from the other cores: carried there and back by events, the data staying where it is.
 *
 * The request crosses as a block of the shared heap, allocated and freed by the submitting core, which names the memory as (segment,
 * offset); segments are the same on every core. The home core runs it on its own backend and answers with the status in the event.
 *
 * An abort crosses too, and names the I/O as (core, index of its BdevIo). That is one I/O and no other: events of one core to another arrive in the order in which
 * they were sent, and the index is used again only after the answer, so an abort arrives behind its I/O and before the next one of that name. When the
 * answer is on its way already, home finds nothing under that name and the abort has come too late; either way there is one answer. Home may have answered that it
 * has no memory: then the submitter's layer, which would try again, ends the I/O instead. One abort of an I/O is under way at a time, whoever asks how often: home says when the I/O
 * is still there, and that arrives ahead of the answer.
 *
 *   block | bdev id | type | flags | pieces | byteOffset f64 | bytes f64 | piece 0: segment, -, offset f64, bytes f64 | piece 1 ...
 */
import { AllocSite } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import type { Ptr } from '../env/heap.ts';
import { IoVecs } from '../env/iovecs.ts';
import { currentReactor, localKey, type Reactor } from '../event/reactor.ts';
import type { Bdev } from './bdev.ts';
import { type BdevIo, type BdevIoDone, IO_SUBMITTED, type IoSink, type IoWaitEntry } from './bdev-io.ts';
import { type HeapReserve, heapReserve } from './heap-reserve.ts';
import { carriedBlockRank, ioRank, type Levelled, NO_RANK, PLACE_CARRIED } from './io-rank.ts';
import { IO_FLAGS_PASSED, IO_RESET } from './io-type.ts';
import { bdevManager } from './manager.ts';
import type { BackendChannel } from './module.ts';
import { ECANCELED, EINVAL, EIO, ENODEV, ENOMEM } from './status.ts';

const site = new AllocSite('bdev_carried_io');

const HEADER_BYTES = 32;
const PIECE_BYTES = 24;
/** Most pieces of memory one carried I/O has: the layer splits what has more, or has it go through a buffer (SplitRules). */
export const CARRY_PIECES_MAX = 256;
/** The driver of an I/O whose abort is under way. */
const ABORT_SENT = Symbol('abort sent');

/** Resets of home cores' channels that this core waits for. */
const resetsAway = localKey('bdev_resets_away', () => ({
  ids: 0,
  byId: new Map<number, { readonly cb: BdevIoDone; readonly ctx: unknown }>(),
}));

/** The channel that a thread on another core has to the home core. */
class AwayChannel implements BackendChannel {
  readonly #bdev: Bdev;
  readonly #reactor: Reactor;
  readonly #blocks: HeapReserve;
  readonly #blockRank: number;

  constructor(bdev: Bdev) {
    this.#bdev = bdev;
    this.#reactor = bdev.manager.reactor;
    this.#blocks = this.#reactor.local(heapReserve);
    this.#blockRank = carriedBlockRank(bdev);
  }

  submit(io: BdevIo): void {
    const { heap } = this.#reactor;
    const { iovs } = io;
    const ptr = this.#blocks.take(HEADER_BYTES + iovs.count * PIECE_BYTES, this.#blockRank, this, site);
    if (ptr === 0) {
      io.complete(ENOMEM);
      return;
    }
    const w = ptr >>> 2;
    const d = ptr >>> 3;
    heap.i32[w] = this.#bdev.id;
    heap.i32[w + 1] = io.type;
    heap.i32[w + 2] = io.flags & IO_FLAGS_PASSED;
    heap.i32[w + 3] = iovs.count;
    heap.f64[d + 2] = io.byteOffset;
    heap.f64[d + 3] = io.bytes;
    for (let i = 0; i < iovs.count; i++) {
      const at = d + (HEADER_BYTES + i * PIECE_BYTES) / 8;
      heap.i32[at * 2] = iovs.segment[i]!.id;
      heap.f64[at + 1] = iovs.offset[i];
      heap.f64[at + 2] = iovs.bytes[i];
    }
    try {
      this.#reactor.send(this.#bdev.homeCore, submitHere, ptr, this.#reactor.core, io.index);
    } catch {
      // The home core has left.
      this.#blocks.free(ptr);
      io.complete(ENODEV);
    }
  }

  /** Has the home core abort it. Whether that can be done is not known here. */
  abort(io: BdevIo): boolean {
    // Resets are not carried as I/O.
    if (io.type === IO_RESET) return false;
    if (io.driver === ABORT_SENT) return true;
    try {
      this.#reactor.send(this.#bdev.homeCore, abortHere, this.#bdev.id, this.#reactor.core, io.index);
    } catch {
      return false;
    }
    io.driver = ABORT_SENT;
    return true;
  }

  /** Has the home core reset what the disk stands on. */
  reset(cb: BdevIoDone, ctx: unknown): void {
    const table = this.#reactor.local(resetsAway);
    const id = ++table.ids;
    try {
      this.#reactor.send(this.#bdev.homeCore, resetHere, this.#bdev.id, this.#reactor.core, id);
    } catch {
      cb(ctx, ENODEV);
      return;
    }
    table.byId.set(id, { cb, ctx });
  }

  close(): void {}
}

/** The home core's end for one disk. */
class HomeEnd implements IoSink {
  readonly bdev: Bdev;
  readonly backend: BackendChannel;
  /** Of its BdevIos. */
  readonly rank: number;
  readonly #all: Carried[] = [];
  readonly #free: Carried[] = [];

  constructor(bdev: Bdev) {
    this.bdev = bdev;
    this.backend = bdev.ownBackend.createChannel();
    this.rank = ioRank(bdev, PLACE_CARRIED);
  }

  take(): Carried {
    return this.#free.pop() ?? this.#make();
  }

  #make(): Carried {
    const carried = new Carried(this);
    this.#all.push(carried);
    return carried;
  }

  put(carried: Carried): void {
    this.#free.push(carried);
  }

  /** Ends the I/O `index` of `core` early, if it is here still. Not a data path. */
  abort(core: number, index: number): void {
    const carried = this.#all.find((each) => each.core === core && each.index === index);
    carried?.abort();
  }

  complete(io: BdevIo, status: number): void {
    const { refusedRank } = io;
    if (status === ENOMEM && refusedRank >= 0) {
      this.bdev.manager.waitForIo(io.ctx as Carried, null, refusedRank);
      return;
    }
    io.status = status;
    this.finish(io);
  }

  finish(io: BdevIo): void {
    (io.ctx as Carried).done(io, io.status);
  }
}

/** Of one that carries none. */
const NO_CORE = -1;

/** One carried I/O on the home core. Reused. */
class Carried implements IoWaitEntry {
  readonly #end: HomeEnd;
  readonly #iovs = new IoVecs(CARRY_PIECES_MAX);
  ptr: Ptr = 0 as Ptr;
  core = NO_CORE;
  index = 0;
  /** Null while it waits for one. With one it may wait for another, in a disk below, and is then submitted again. */
  #io: BdevIo | null = null;

  constructor(end: HomeEnd) {
    this.#end = end;
  }

  onReady(): void {
    if (this.#io === null) this.#begin();
    else this.#submit(this.#io);
  }

  #begin(): void {
    const { manager } = this.#end.bdev;
    const io = manager.pool.get(this.#end.rank);
    if (io === null) {
      manager.pool.wait(this, null, this.#end.rank);
      return;
    }
    const { heap, segments } = manager.reactor;
    const w = this.ptr >>> 2;
    const d = this.ptr >>> 3;
    this.#io = io;
    io.sink = this.#end;
    io.ctx = this;
    io.state = IO_SUBMITTED;
    io.type = heap.i32[w + 1];
    io.flags = heap.i32[w + 2];
    io.byteOffset = heap.f64[d + 2];
    io.bytes = heap.f64[d + 3];
    io.iovs = this.#iovs;
    const count = heap.i32[w + 3];
    try {
      for (let i = 0; i < count; i++) {
        const at = d + (HEADER_BYTES + i * PIECE_BYTES) / 8;
        this.#iovs.push(segments.get(heap.i32[at * 2]), heap.f64[at + 1], heap.f64[at + 2]);
      }
    } catch {
      // A segment that this core does not know: the memory was not shared.
      this.done(io, EINVAL);
      return;
    }
    this.#submit(io);
  }

  #submit(io: BdevIo): void {
    io.refusedRank = NO_RANK;
    try {
      this.#end.backend.submit(io);
    } catch (error) {
      this.#end.bdev.manager.onCallbackError(error);
      if (this.#io === io) this.done(io, EIO);
    }
  }

  abort(): void {
    const { bdev, backend } = this.#end;
    const waited = bdev.manager.pool.cancelWait(this);
    if (this.#io === null) {
      this.#answer(ECANCELED);
      return;
    }
    if (waited) this.done(this.#io, ECANCELED);
    else backend.abort?.(this.#io);
    if (this.#io !== null) bdev.manager.reactor.send(this.core, stillThere, this.index, 0, 0);
  }

  done(io: BdevIo, status: number): void {
    const { pool } = this.#end.bdev.manager;
    this.#iovs.reset();
    this.#io = null;
    pool.put(io);
    this.#answer(status);
    if (pool.waiting > 0) pool.wake();
  }

  #answer(status: number): void {
    const { ptr, core, index } = this;
    this.core = NO_CORE;
    this.#end.put(this);
    this.#end.bdev.manager.reactor.send(core, doneThere, ptr, status, index);
  }
}

const homeEnds = localKey('bdev_home_ends', () => new Map<number, HomeEnd>());

/** From now on this core can carry I/Os of a disk of that level, whatever is left of the heap. @throws {SpdkError} ENOMEM */
export function coverCarried(reactor: Reactor, disk: Levelled): void {
  reactor.local(heapReserve).cover(carriedBlockRank(disk), HEADER_BYTES + CARRY_PIECES_MAX * PIECE_BYTES, site);
}

/** The channel of a thread to a disk that has no backend on this core. */
export function makeHomeChannel(bdev: Bdev): BackendChannel {
  return new AwayChannel(bdev);
}

/** Ends the home core's part for a disk that nobody uses any more. */
export function closeHomeEnd(bdev: Bdev): void {
  const ends = bdev.manager.reactor.local(homeEnds);
  ends.get(bdev.id)?.backend.close();
  ends.delete(bdev.id);
}

/** The home core's part for the disk `id`; why there is none, a status, when the disk is going or its module cannot make a channel: what that stands on may be going. */
function homeEndOf(reactor: Reactor, id: number): HomeEnd | number {
  const manager = reactor.local(bdevManager);
  const bdev = manager.byId.get(id);
  if (bdev === undefined || bdev.backend === null) return ENODEV;
  const ends = reactor.local(homeEnds);
  const known = ends.get(id);
  if (known !== undefined) return known;
  try {
    const end = new HomeEnd(bdev);
    ends.set(id, end);
    return end;
  } catch (error) {
    if (error instanceof SpdkError) return -error.errno;
    manager.onCallbackError(error);
    return EIO;
  }
}

const submitHere = defineEvent('bdev.carry.submit', (ptr, core, index) => {
  const reactor = currentReactor();
  const end = homeEndOf(reactor, reactor.heap.i32[ptr >>> 2]);
  if (typeof end === 'number') {
    reactor.send(core, doneThere, ptr, end, index);
    return;
  }
  const carried = end.take();
  carried.ptr = ptr as Ptr;
  carried.core = core;
  carried.index = index;
  carried.onReady();
});

const doneThere = defineEvent('bdev.carry.done', (ptr, status, index) => {
  const reactor = currentReactor();
  reactor.local(heapReserve).free((ptr >>> 0) as Ptr);
  const io = reactor.local(bdevManager).pool.all[index];
  io.complete(status === ENOMEM && io.driver === ABORT_SENT ? ECANCELED : status);
});

const abortHere = defineEvent('bdev.carry.abort', (id, core, index) => {
  currentReactor().local(homeEnds).get(id)?.abort(core, index);
});

const stillThere = defineEvent('bdev.carry.still_there', (index) => {
  currentReactor().local(bdevManager).pool.all[index].driver = null;
});

const resetHere = defineEvent('bdev.carry.reset', (id, core, reset) => {
  const reactor = currentReactor();
  const end = homeEndOf(reactor, id);
  const done: BdevIoDone = (_, status) => reactor.send(core, resetThere, reset, status, 0);
  if (typeof end === 'number') done(null, end);
  else if (end.backend.reset !== undefined) end.backend.reset(done, null);
  else done(null, 0);
});

const resetThere = defineEvent('bdev.carry.reset_done', (id, status) => {
  const { byId } = currentReactor().local(resetsAway);
  const reset = byId.get(id);
  byId.delete(id);
  reset?.cb(reset.ctx, status);
});
