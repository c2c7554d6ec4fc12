/**
 * I/O of a disk that lives on one core, from the other cores: carried there and back by events, the data staying where it is.
 *
 * The request crosses as a block of the shared heap, allocated and freed by the submitting core, which names the memory as (segment,
 * offset); segments are the same on every core. The home core runs it on its own backend and answers with the status in the event.
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
import { type BdevIo, IO_SUBMITTED, type IoSink, type IoWaitEntry } from './bdev-io.ts';
import { IO_FLAGS_PASSED } from './io-type.ts';
import { bdevManager } from './manager.ts';
import type { BackendChannel } from './module.ts';
import { EINVAL, EIO, ENODEV, ENOMEM } from './status.ts';

const site = new AllocSite('bdev_carried_io');

const HEADER_BYTES = 32;
const PIECE_BYTES = 24;
/** Most pieces of memory one carried I/O may have. */
export const CARRY_PIECES_MAX = 256;

/** The channel that a thread on another core has to the home core. */
class AwayChannel implements BackendChannel {
  readonly #bdev: Bdev;
  readonly #reactor: Reactor;

  constructor(bdev: Bdev) {
    this.#bdev = bdev;
    this.#reactor = bdev.manager.reactor;
  }

  submit(io: BdevIo): void {
    const { heap } = this.#reactor;
    const { iovs } = io;
    if (iovs.count > CARRY_PIECES_MAX) {
      io.complete(EINVAL);
      return;
    }
    let ptr: Ptr;
    try {
      ptr = heap.alloc(HEADER_BYTES + iovs.count * PIECE_BYTES, site);
    } catch (error) {
      if (!(error instanceof SpdkError && error.code === 'ENOMEM')) throw error;
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
      heap.free(ptr);
      io.complete(ENODEV);
    }
  }

  close(): void {}
}

/** The home core's end for one disk. */
class HomeEnd implements IoSink {
  readonly bdev: Bdev;
  readonly backend: BackendChannel;
  outstanding = 0;
  readonly #free: Carried[] = [];

  constructor(bdev: Bdev) {
    this.bdev = bdev;
    this.backend = bdev.ownBackend.createChannel();
  }

  take(): Carried {
    return this.#free.pop() ?? new Carried(this);
  }

  put(carried: Carried): void {
    this.#free.push(carried);
  }

  complete(io: BdevIo, status: number): void {
    io.status = status;
    this.finish(io);
  }

  finish(io: BdevIo): void {
    (io.ctx as Carried).done(io, io.status);
  }
}

/** One carried I/O on the home core. Reused. */
class Carried implements IoWaitEntry {
  readonly #end: HomeEnd;
  readonly #iovs = new IoVecs(CARRY_PIECES_MAX);
  ptr: Ptr = 0 as Ptr;
  core = 0;
  index = 0;

  constructor(end: HomeEnd) {
    this.#end = end;
  }

  onReady(): void {
    const { manager } = this.#end.bdev;
    const io = manager.pool.get();
    if (io === null) {
      manager.pool.wait(this, null);
      return;
    }
    const { heap, segments } = manager.reactor;
    const w = this.ptr >>> 2;
    const d = this.ptr >>> 3;
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
    try {
      this.#end.backend.submit(io);
    } catch (error) {
      manager.onCallbackError(error);
      if (io.state === IO_SUBMITTED && io.ctx === this) this.done(io, EIO);
    }
  }

  done(io: BdevIo, status: number): void {
    const end = this.#end;
    const { pool, reactor } = end.bdev.manager;
    this.#iovs.reset();
    pool.put(io);
    const { ptr, core, index } = this;
    end.outstanding--;
    end.put(this);
    reactor.send(core, doneThere, ptr, status, index);
    if (pool.waiting > 0) pool.wake();
  }
}

const homeEnds = localKey('bdev_home_ends', () => new Map<number, HomeEnd>());

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

const submitHere = defineEvent('bdev.carry.submit', (ptr, core, index) => {
  const reactor = currentReactor();
  const bdev = reactor.local(bdevManager).byId.get(reactor.heap.i32[ptr >>> 2]);
  if (bdev === undefined || bdev.backend === null) {
    reactor.send(core, doneThere, ptr, ENODEV, index);
    return;
  }
  const ends = reactor.local(homeEnds);
  let end = ends.get(bdev.id);
  if (end === undefined) {
    end = new HomeEnd(bdev);
    ends.set(bdev.id, end);
  }
  const carried = end.take();
  carried.ptr = ptr as Ptr;
  carried.core = core;
  carried.index = index;
  end.outstanding++;
  carried.onReady();
});

const doneThere = defineEvent('bdev.carry.done', (ptr, status, index) => {
  const reactor = currentReactor();
  reactor.heap.free((ptr >>> 0) as Ptr);
  reactor.local(bdevManager).pool.all[index].complete(status);
});
