/**
 * One request to a block device, and the pool it comes from.
 *
 * A BdevIo is borrowed for the time between submission and completion. The pool belongs to a reactor and makes its objects in
 * blocks up to a limit; after that `get` gives null, the caller returns -ENOMEM, and whoever wants to wait queues up here, first come,
 * first served: while somebody waits, nobody overtakes (SPDK: bdev_io_pool, spdk_bdev_queue_io_wait). Data path; nothing is allocated
 * once the pool has grown to what the load needs.
 */
import { assert, SpdkError } from '../env/errors.ts';
import { IoVecs } from '../env/iovecs.ts';

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
}

/** What waits for a BdevIo. One entry waits in one place at a time. */
export interface IoWaitEntry {
  /** There is one: submit now. */
  onReady(): void;
}

/** How the pool calls a waiter on the thread it belongs to. */
export type WaiterCall = (entry: IoWaitEntry, owner: unknown) => void;

export interface BdevIoPoolOptions {
  /** Most objects that exist at once. */
  readonly ios: number;
  /** How many are made at once. */
  readonly growBy: number;
}

export class BdevIoPool {
  #limit: number;
  #growBy: number;
  /** When each was submitted, by index, µs. An array, since storing a double in an object allocates. */
  submitUs: Float64Array;
  /** Every object ever made, by index. */
  readonly all: BdevIo[] = [];
  readonly #free: BdevIo[] = [];
  #freeCount = 0;
  readonly #waiters: (IoWaitEntry | null)[] = [];
  readonly #owners: unknown[] = [];
  #waitHead = 0;
  readonly #call: WaiterCall;

  constructor(options: BdevIoPoolOptions, call: WaiterCall = (entry) => entry.onReady()) {
    this.#limit = options.ios;
    this.#growBy = options.growBy;
    this.#call = call;
    this.submitUs = new Float64Array(options.ios);
  }

  /** Changes the limit. What exists beyond it stays. */
  setOptions(options: BdevIoPoolOptions): void {
    this.#limit = options.ios;
    this.#growBy = options.growBy;
    const submitUs = new Float64Array(Math.max(options.ios, this.all.length));
    submitUs.set(this.submitUs.subarray(0, this.all.length));
    this.submitUs = submitUs;
    this.wake();
  }

  /** Borrowed right now. */
  get used(): number {
    return this.all.length - this.#freeCount;
  }

  get waiting(): number {
    return this.#waiters.length - this.#waitHead;
  }

  /** Whether there is one for the first who waits. */
  get available(): boolean {
    return this.#freeCount > 0 || this.all.length < this.#limit;
  }

  /** A BdevIo, or null when all are borrowed or somebody already waits for one. */
  get(): BdevIo | null {
    if (this.#waiters.length !== this.#waitHead && !this.#waking) return null;
    if (this.#freeCount === 0 && !this.#grow()) return null;
    const io = this.#free[--this.#freeCount];
    return io;
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

  /** Queues `entry`; it is called once, when there is a BdevIo for it. @throws {SpdkError} EINVAL when it already waits. */
  wait(entry: IoWaitEntry, owner: unknown): void {
    if (this.#waiters.indexOf(entry, this.#waitHead) >= 0) {
      throw new SpdkError('EINVAL', 'this entry already waits for a BdevIo');
    }
    this.#waiters.push(entry);
    this.#owners.push(owner);
  }

  /** Takes `entry` out of the queue. False when it was not in it. */
  cancelWait(entry: IoWaitEntry): boolean {
    const at = this.#waiters.indexOf(entry, this.#waitHead);
    if (at < 0) return false;
    this.#waiters.splice(at, 1);
    this.#owners.splice(at, 1);
    return true;
  }

  /** True while a waiter is called: it alone may take. */
  #waking = false;

  /** Calls waiters, one for each BdevIo that is free. */
  wake(): void {
    if (this.#waking) return;
    while (this.#waitHead < this.#waiters.length && this.available) {
      const entry = this.#waiters[this.#waitHead] as IoWaitEntry;
      const owner = this.#owners[this.#waitHead];
      this.#waiters[this.#waitHead] = null;
      this.#owners[this.#waitHead] = null;
      this.#waitHead++;
      if (this.#waitHead === this.#waiters.length) {
        this.#waiters.length = 0;
        this.#owners.length = 0;
        this.#waitHead = 0;
      }
      this.#waking = true;
      try {
        this.#call(entry, owner);
      } finally {
        this.#waking = false;
      }
    }
  }

  #grow(): boolean {
    const room = this.#limit - this.all.length;
    if (room <= 0) return false;
    for (let i = Math.min(room, this.#growBy); i > 0; i--) {
      const io = new BdevIo(this.all.length);
      this.all.push(io);
      this.#free[this.#freeCount++] = io;
    }
    return true;
  }
}
