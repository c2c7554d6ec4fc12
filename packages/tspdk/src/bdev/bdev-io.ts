/**
 * One request to a block device, and the pool it comes from.
 *
 * A BdevIo is borrowed for the time between submission and completion. The pool belongs to a reactor and makes its objects in
 * blocks up to a limit; after that `get` gives null, the caller returns -ENOMEM, and whoever wants to wait queues up here
 * (SPDK: bdev_io_pool, spdk_bdev_queue_io_wait). Data path; nothing is allocated once the pool has grown to what the load needs.
 *
 * The last ones are kept for those without whom the others would not come back: whoever asks has a rank, and leaves as many as it says (io-rank.ts). One queue a rank, each first come,
 * first served: while somebody of its rank waits, nobody overtakes. What comes back goes to the lowest rank that may have it, so none of them waits for one who may not yet.
 */
import { assert, SpdkError } from '../env/errors.ts';
import { IoVecs } from '../env/iovecs.ts';
import { NO_RANK } from './io-rank.ts';

/** Called once per I/O, on the channel's thread, never from inside the call that submitted it. `status`: 0 or a negative errno. */
export type BdevIoDone = (ctx: unknown, status: number) => void;

/** Where a completed I/O goes: its channel, or the far end of a carried one. */
export interface IoSink {
  /** The module is done with `io`. */
  complete(io: BdevIo, status: number): void;
  /** Gives `io` back to its pool and tells the submitter. */
  finish(io: BdevIo): void;
}

export const IO_FREE = 0;
/** With the module. */
export const IO_SUBMITTED = 1;
/** Waits in the bdev layer, since the module had no memory. */
export const IO_QUEUED = 2;
/** Completed by the module, not yet reported. */
export const IO_DONE = 3;

const noSink: IoSink = {
  complete: () => assert(false, 'a free BdevIo is not completed'),
  finish: () => assert(false, 'a free BdevIo is not finished'),
};
const noCallback: BdevIoDone = () => {};

export class BdevIo {
  readonly index: number;
  /** Holds the single buffer of the calls that are not vectored. */
  readonly ownIovs = new IoVecs(1);
  state = IO_FREE;
  /** One of IO_READ, IO_WRITE, ... */
  type = 0;
  /** IO_FLAG_*. */
  flags = 0;
  /** How many disks below its own it has gone on to as it is: thread-channel.ts. */
  levels = 0;
  /** Number of the initiator's connection that it is for; 0: of none. Fault rules look at it. */
  connection = 0;
  /** Where the data lies in memory; empty for types without data. The caller's own list for vectored calls. */
  iovs: IoVecs;
  // Null first, so that V8 keeps whatever number comes as it is: below 2^31 no number is then allocated anywhere on the
  // way, above it the submitter's own is passed on. A field that once held a double would turn each into a new one.
  byteOffset = null as unknown as number;
  bytes = null as unknown as number;
  /** Where a copy comes from. */
  sourceOffset = null as unknown as number;
  /** Metadata of the blocks, one after the other, where the disk has it in memory of its own; null: none is carried. */
  mdIovs: IoVecs | null = null;
  /** What a compare-and-write writes; `iovs` is what it compares with. */
  writeIovs: IoVecs | null = null;
  sink: IoSink = noSink;
  cb: BdevIoDone = noCallback;
  ctx: unknown = null;
  /** While the module has it, above 0: `refusedRank` is that less 1. */
  status = 0;
  /** For the module, while it has the I/O. */
  driver: unknown = null;
  /** For whoever queues the I/O. */
  next: BdevIo | null = null;

  constructor(index: number) {
    this.index = index;
    this.iovs = this.ownIovs;
  }

  /** The module is done. `status`: 0 or a negative errno; -ENOMEM has the layer try again later. */
  complete(status: number): void {
    this.sink.complete(this, status);
  }

  /** Of the BdevIo that it did not get in a disk below, for which its module then had no memory; NO_RANK: it was something else. Until it completes. */
  get refusedRank(): number {
    return this.status > 0 ? this.status - 1 : NO_RANK;
  }
  set refusedRank(rank: number) {
    this.status = rank + 1;
  }
}

/** What waits for a BdevIo. One entry waits in one place at a time. */
export interface IoWaitEntry {
  /** There is one: submit now. */
  onReady(): void;
}

/** How the pool calls a waiter on the thread it belongs to. */
export type WaiterCall = (entry: IoWaitEntry, owner: unknown) => void;

export interface BdevIoPoolOptions {
  /** Most objects that exist at once, beside those that are kept for ranks. */
  readonly ios: number;
  /** How many are made at once. */
  readonly growBy: number;
}

/** Those of one rank who wait, in their order. */
class WaitQueue {
  readonly #entries: (IoWaitEntry | null)[] = [];
  readonly #owners: unknown[] = [];
  #head = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  push(entry: IoWaitEntry, owner: unknown): void {
    this.#entries.push(entry);
    this.#owners.push(owner);
  }

  /** Calls the first, which is then out. */
  serve(call: WaiterCall): void {
    const at = this.#head++;
    const entry = this.#entries[at] as IoWaitEntry;
    const owner = this.#owners[at];
    this.#entries[at] = null;
    this.#owners[at] = null;
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0;
      this.#owners.length = 0;
      this.#head = 0;
    }
    call(entry, owner);
  }

  has(entry: IoWaitEntry): boolean {
    return this.#entries.indexOf(entry, this.#head) >= 0;
  }

  remove(entry: IoWaitEntry): boolean {
    const at = this.#entries.indexOf(entry, this.#head);
    if (at < 0) return false;
    this.#entries.splice(at, 1);
    this.#owners.splice(at, 1);
    return true;
  }
}

export class BdevIoPool {
  #limit: number;
  #growBy: number;
  /** How many ranks there are: so many of the limit are not for the outside. */
  #ranks = 0;
  /** When each was submitted, by index, µs. An array, since storing a double in an object allocates. */
  submitUs: Float64Array;
  /** Every object ever made, by index. */
  readonly all: BdevIo[] = [];
  readonly #free: BdevIo[] = [];
  #freeCount = 0;
  /** By rank. */
  readonly #queues: WaitQueue[] = [];
  readonly #outside = new WaitQueue();
  #waiting = 0;
  readonly #call: WaiterCall;

  constructor(options: BdevIoPoolOptions, call: WaiterCall = (entry) => entry.onReady()) {
    this.#limit = options.ios;
    this.#growBy = options.growBy;
    this.#call = call;
    this.submitUs = new Float64Array(options.ios);
  }

  /** Changes the limit. What exists beyond it stays; what is borrowed beyond it counts, as that may need others, which are kept for it. */
  setOptions(options: BdevIoPoolOptions): void {
    this.#limit = Math.max(options.ios, this.used) + this.#ranks;
    this.#growBy = options.growBy;
    this.#resized();
  }

  /** There are ranks up to, and without, `ranks` from now on: the pool is larger by those. */
  cover(ranks: number): void {
    if (ranks <= this.#ranks) return;
    this.#limit += ranks - this.#ranks;
    this.#ranks = ranks;
    while (this.#queues.length < ranks) this.#queues.push(new WaitQueue());
    this.#resized();
  }

  #resized(): void {
    const submitUs = new Float64Array(Math.max(this.#limit, this.all.length));
    submitUs.set(this.submitUs.subarray(0, this.all.length));
    this.submitUs = submitUs;
    this.wake();
  }

  /** Borrowed right now. */
  get used(): number {
    return this.all.length - this.#freeCount;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** How many there would be for one of `rank`, if nobody waited. */
  available(rank: number): number {
    return this.#left - this.#kept(rank);
  }

  get #left(): number {
    return this.#freeCount + Math.max(0, this.#limit - this.all.length);
  }

  /** How many one of `rank` leaves. */
  #kept(rank: number): number {
    return rank < this.#ranks ? rank : this.#ranks;
  }

  /** A BdevIo for one of `rank`; null when no more are left than it has to leave, or somebody of that rank already waits. */
  get(rank: number): BdevIo | null {
    if (this.#waiting > 0 && !this.#waking && this.#queue(rank).length > 0) return null;
    const kept = rank < this.#ranks ? rank : this.#ranks;
    if (this.#freeCount <= kept && !this.#grow(kept)) return null;
    const io = this.#free[--this.#freeCount];
    return io;
  }

  #queue(rank: number): WaitQueue {
    return rank < this.#ranks ? this.#queues[rank] : this.#outside;
  }

  /** Back into the pool. Does not wake anybody: `wake` does, when the caller is ready for it. */
  put(io: BdevIo): void {
    io.state = IO_FREE;
    io.ctx = null;
    io.cb = noCallback;
    io.sink = noSink;
    io.driver = null;
    io.flags = 0;
    io.levels = 0;
    io.connection = 0;
    io.writeIovs = null;
    io.mdIovs = null;
    if (io.iovs === io.ownIovs) io.ownIovs.reset();
    else io.iovs = io.ownIovs;
    this.#free[this.#freeCount++] = io;
  }

  /** Queues `entry`; it is called once, when there is a BdevIo for one of `rank`. @throws {SpdkError} EINVAL when it already waits. */
  wait(entry: IoWaitEntry, owner: unknown, rank: number): void {
    if (this.#outside.has(entry) || this.#queues.some((queue) => queue.has(entry))) {
      throw new SpdkError('EINVAL', 'this entry already waits for a BdevIo');
    }
    this.#queue(rank).push(entry, owner);
    this.#waiting++;
  }

  /** Takes `entry` out of the queue. False when it was not in it. */
  cancelWait(entry: IoWaitEntry): boolean {
    if (!this.#outside.remove(entry) && !this.#queues.some((queue) => queue.remove(entry))) return false;
    this.#waiting--;
    return true;
  }

  /** True while a waiter is called: it alone may take. */
  #waking = false;

  /** Calls waiters, one for each BdevIo that is free for its rank, the lowest rank first. */
  wake(): void {
    if (this.#waking) return;
    while (this.#waiting > 0) {
      const queue = this.#nextQueue();
      if (queue === null) return;
      this.#waiting--;
      this.#waking = true;
      try {
        queue.serve(this.#call);
      } finally {
        this.#waking = false;
      }
    }
  }

  /** Of the lowest rank that waits; null when there is nothing for it, and then for none. */
  #nextQueue(): WaitQueue | null {
    const left = this.#left;
    for (let rank = 0; rank < this.#ranks && rank < left; rank++) {
      if (this.#queues[rank].length > 0) return this.#queues[rank];
    }
    return left > this.#ranks && this.#outside.length > 0 ? this.#outside : null;
  }

  /** Makes more. Whether more than `kept` are free then. */
  #grow(kept: number): boolean {
    const room = this.#limit - this.all.length;
    for (let i = Math.min(room, Math.max(this.#growBy, kept + 1 - this.#freeCount)); i > 0; i--) {
      const io = new BdevIo(this.all.length);
      this.all.push(io);
      this.#free[this.#freeCount++] = io;
    }
    return this.#freeCount > kept;
  }
}
