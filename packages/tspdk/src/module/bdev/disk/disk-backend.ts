/**
 * Runs a user's functions for I/Os: one DiskCall each, reused once its promise has settled. The functions may be replaced by those of a newer version.
 *
 * A promise that never settles is given up after the disk's timeout: the I/O fails with EIO, the signal aborts, the log says it, and the call is not
 * reused, so whatever the promise does later reaches nobody. Its home core's thread only.
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import {
  type BackendChannel,
  type BdevBackend,
  EXTENT_HOLE,
  EXTENT_ZERO,
  type Extents,
  IO_FLAG_FUA,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
} from '../../../bdev/index.ts';
import { type BdevManager, bdevManager, type Retry } from '../../../bdev/manager.ts';
import { ECANCELED, EIO, ENOTSUP } from '../../../bdev/status.ts';
import { assert, SpdkError } from '../../../env/errors.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import type { Segment } from '../../../env/segment.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { log } from '../../../log/index.ts';
import type { Disk, DiskRequest } from './define-disk.ts';
import { statusOfThrown, textOfThrown } from './io-status.ts';

const diskLog = log.register('bdev_disk');
/** Different errors of one disk that are logged; it goes on failing without. */
const LOGGED_ERRORS = 16;
/** Bytes of copies that a disk keeps for the next I/O: to make new ones each time costs ten times what filling them does. */
const SPARE_BYTES_MAX = 8 * 1024 * 1024;

export class DiskBackend implements BdevBackend, Retry {
  /** What new calls go to. */
  disk: Disk;
  readonly name: string;
  readonly reactor: Reactor;
  readonly manager: BdevManager;
  readonly timeoutUs: number;
  /** The disk has gone, or is going. */
  closed = false;
  /** Under way. */
  readonly calls = new Set<DiskCall>();
  readonly free: DiskCall[] = [];
  /** I/Os that wait for the next version of the disk; null: nothing is replaced. */
  #held: BdevIo[] | null = null;
  #whenIdle: (() => void) | null = null;
  #watching = false;
  /** For I/O that has to be copied: powers of two. */
  readonly #spare: Uint8Array[] = [];
  #spareBytes = 0;
  readonly #logged = new Set<string>();

  constructor(options: { name: string; disk: Disk; timeoutMs: number; reactor: Reactor }) {
    this.name = options.name;
    this.disk = options.disk;
    this.timeoutUs = options.timeoutMs * 1000;
    this.reactor = options.reactor;
    this.manager = options.reactor.local(bdevManager);
  }

  createChannel(): BackendChannel {
    return new DiskChannel(this);
  }

  submit(io: BdevIo): void {
    if (this.#held !== null) {
      this.#held.push(io);
      return;
    }
    const call = this.free.pop() ?? new DiskCall(this);
    call.start(io);
  }

  abort(io: BdevIo): boolean {
    const at = this.#held?.indexOf(io) ?? -1;
    if (at >= 0) {
      this.#held?.splice(at, 1);
      io.complete(ECANCELED);
      return true;
    }
    if (!(io.driver instanceof DiskCall)) return false;
    io.driver.giveUp(ECANCELED);
    return true;
  }

  /** At least `bytes` that are nobody's, whatever is in them. */
  takeSpare(bytes: number): Uint8Array {
    const at = this.#spare.findLastIndex((each) => each.length >= bytes);
    if (at < 0) return new Uint8Array(2 ** Math.ceil(Math.log2(bytes)));
    this.#spareBytes -= this.#spare[at].length;
    return this.#spare.splice(at, 1)[0];
  }

  giveSpare(spare: Uint8Array): void {
    if (this.#spareBytes + spare.length > SPARE_BYTES_MAX) return;
    this.#spareBytes += spare.length;
    this.#spare.push(spare);
  }

  /** A call has ended. */
  ended(call: DiskCall): void {
    this.calls.delete(call);
    if (this.calls.size === 0) this.#whenIdle?.();
  }

  /** What is under way ends with the old disk, what comes meanwhile goes to `next`. Resolves with the old one, which is not closed, when that has ended. One after the other. */
  async replace(next: Disk): Promise<Disk> {
    assert(this.#held === null, `disk "${this.name}" is being replaced already`);
    const old = this.disk;
    this.#held = [];
    if (this.calls.size > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
      this.#whenIdle = null;
    }
    this.disk = next;
    const held = this.#held;
    this.#held = null;
    for (const io of held) this.submit(io);
    this.reactor.kick();
    return old;
  }

  /** Looks for overdue calls as long as there are calls. */
  watch(): void {
    if (this.#watching) return;
    this.#watching = true;
    this.manager.retryAfter(this.timeoutUs / 8, this);
  }

  retry(): void {
    this.#watching = false;
    const { nowUs } = this.reactor.clock;
    for (const call of [...this.calls]) {
      if (nowUs - call.startUs < this.timeoutUs) continue;
      diskLog.error(
        `disk "${this.name}": ${call.what} did not settle in ${this.timeoutUs / 1000} ms; it failed with EIO`,
      );
      call.giveUp(EIO);
    }
    if (this.calls.size > 0) this.watch();
  }

  logError(what: string, error: unknown): void {
    const text = textOfThrown(error);
    if (this.#logged.has(text) || this.#logged.size === LOGGED_ERRORS) return;
    this.#logged.add(text);
    diskLog.error(`disk "${this.name}": ${what}: ${text}`);
  }

  /** Closes a version that is not served. Resolves when it is closed, or has had its time for that. */
  letGo(disk: Disk): Promise<void> {
    return this.#inTime(disk, this.#close(disk));
  }

  /** Waits for theirs, as there may be much to bring to safety; that it takes long is told. */
  async close(): Promise<void> {
    this.closed = true;
    const closing = this.#close(this.disk);
    void this.#inTime(this.disk, closing);
    await closing;
  }

  /** Resolves with `closing`, or when what a call may take is over. */
  #inTime(disk: Disk, closing: Promise<void>): Promise<void> {
    if (disk.close === undefined) return closing;
    let closed = false;
    return new Promise((resolve) => {
      void closing.then(() => {
        closed = true;
        resolve();
      });
      const retry = (): void => {
        if (!closed) diskLog.error(`disk "${this.name}": close did not settle in ${this.timeoutUs / 1000} ms`);
        resolve();
      };
      this.manager.retryAfter(this.timeoutUs, { retry });
    });
  }

  async #close(disk: Disk): Promise<void> {
    try {
      await disk.close?.();
    } catch (error) {
      this.logError('close', error);
    }
  }
}

class DiskChannel implements BackendChannel {
  readonly #backend: DiskBackend;

  constructor(backend: DiskBackend) {
    this.#backend = backend;
  }

  submit(io: BdevIo): void {
    this.#backend.submit(io);
  }

  abort(io: BdevIo): boolean {
    return this.#backend.abort(io);
  }

  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    const { disk } = this.#backend;
    if (disk.extents === undefined) {
      out.push(bytes, 0);
      return 0;
    }
    try {
      const before = out.totalBytes;
      for (const { length, hole } of disk.extents(byteOffset, bytes)) {
        const left = bytes - (out.totalBytes - before);
        if (left === 0) break;
        if (!(length > 0 && length % disk.blockSize === 0)) throw new SpdkError('EIO', `extent of ${length} bytes`);
        if (!out.push(Math.min(length, left), hole ? EXTENT_HOLE | EXTENT_ZERO : 0)) return 0;
      }
      if (out.totalBytes === before) throw new SpdkError('EIO', `no extent at ${byteOffset}`);
      return 0;
    } catch (error) {
      this.#backend.logError('extents', error);
      return statusOfThrown(error);
    }
  }

  close(): void {}
}

class DiskCall implements DiskRequest {
  readonly #backend: DiskBackend;
  readonly #settled: () => void;
  readonly #failed: (error: unknown) => void;
  #io: BdevIo | null = null;
  #abort: AbortController | null = null;
  #givenUp = false;
  /** What the disk works on, when it is not the I/O's own memory. */
  #copy: Uint8Array | null = null;
  /** The version that the call began with. */
  #disk: Disk;
  startUs = 0;
  what = '';

  constructor(backend: DiskBackend) {
    this.#backend = backend;
    this.#disk = backend.disk;
    this.#settled = () => this.#end(0);
    this.#failed = (error) => {
      // Given up before: nobody is waiting, and the error is likely the abort's.
      if (this.#io === null) return;
      backend.logError(this.what, error);
      this.#end(statusOfThrown(error));
    };
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#givenUp) this.#abortSignal();
    return this.#abort.signal;
  }

  start(io: BdevIo): void {
    this.#io = io;
    this.#disk = this.#backend.disk;
    io.driver = this;
    this.startUs = this.#backend.reactor.clock.nowUs;
    this.#backend.calls.add(this);
    this.#backend.watch();
    let promise: Promise<void> | null;
    try {
      promise = promiseOf(this.#run(io));
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (promise !== null) {
      this.#backend.reactor.promised = true;
      promise.then(this.#settled, this.#failed);
    } else this.#settled();
  }

  #run(io: BdevIo): Promise<void> | void {
    const disk = this.#disk;
    switch (io.type) {
      case IO_READ:
        this.what = 'read';
        return this.#transfer(io);
      case IO_WRITE:
        this.what = 'write';
        return this.#durable(io, this.#transfer(io));
      case IO_FLUSH:
        this.what = 'flush';
        return disk.flush?.(this);
      case IO_UNMAP:
        this.what = 'trim';
        return disk.trim!(io.byteOffset, io.bytes, this);
      case IO_WRITE_ZEROES:
        this.what = 'zero';
        return this.#durable(io, disk.zero!(io.byteOffset, io.bytes, this));
      default:
        throw Object.assign(new Error(`request type ${io.type}`), { code: 'ENOTSUP', errno: ENOTSUP });
    }
  }

  /** One call on the memory itself; where that lies in several pieces and the disk takes one, on a copy. */
  #transfer({ iovs, byteOffset, bytes, type }: BdevIo): Promise<void> | void {
    const disk = this.#disk;
    const one = type === IO_READ ? disk.read : disk.write!;
    if (iovs.count === 1 || isOnePiece(iovs)) {
      const { u8 } = iovs.segment[0] as Segment;
      return one(byteOffset, u8.subarray(iovs.offset[0], iovs.offset[0] + bytes), this);
    }
    const several = type === IO_READ ? disk.readv : disk.writev;
    if (several !== undefined) return several(byteOffset, piecesOf(iovs), this);
    this.#copy = this.#backend.takeSpare(bytes);
    const buffer = this.#copy.subarray(0, bytes);
    if (type === IO_WRITE) eachPiece(iovs, (piece, at) => buffer.set(piece, at));
    return one(byteOffset, buffer, this);
  }

  /** What was read into the copy goes to its place; the copy may serve again. */
  #giveCopy({ iovs, type }: BdevIo, status: number): void {
    const copy = this.#copy as Uint8Array;
    this.#copy = null;
    if (status === 0 && type === IO_READ) {
      eachPiece(iovs, (piece, at) => piece.set(copy.subarray(at, at + piece.length)));
    }
    this.#backend.giveSpare(copy);
  }

  /** What FUA asks for comes after the data. */
  #durable(io: BdevIo, result: Promise<void> | void): Promise<void> | void {
    const disk = this.#disk;
    if ((io.flags & IO_FLAG_FUA) === 0 || disk.flush === undefined) return result;
    return Promise.resolve(result).then(() => disk.flush?.(this));
  }

  #end(status: number): void {
    const io = this.#io;
    if (io === null) return;
    if (this.#copy !== null) this.#giveCopy(io, status);
    this.#release();
    this.#abort = null;
    this.#backend.free.push(this);
    io.complete(status);
    this.#backend.reactor.kick();
  }

  /** The I/O ends now; this call is never used again, nor what it copied to: the disk may still write there. */
  giveUp(status: number): void {
    const io = this.#io;
    if (io === null) return;
    this.#release();
    this.#givenUp = true;
    this.#abortSignal();
    io.complete(status);
    this.#backend.reactor.kick();
  }

  #abortSignal(): void {
    this.#abort?.abort(new Error(`disk "${this.#backend.name}": ${this.what} was given up`));
  }

  #release(): void {
    this.#io = null;
    this.#backend.ended(this);
  }
}

/**
 * What the answer is waited for with; null: it is there. Something else with a `then` gets a real promise around it: that settles once, whatever theirs does, where a second settling would end the next I/O of the call.
 */
function promiseOf(result: unknown): Promise<void> | null {
  if (result instanceof Promise) return result;
  return typeof (result as { then?: unknown } | undefined | null)?.then === 'function'
    ? Promise.resolve(result as PromiseLike<void>)
    : null;
}

/** Whether the pieces lie together. */
function isOnePiece(iovs: IoVecs): boolean {
  for (let i = 1; i < iovs.count; i++) {
    if (iovs.segment[i] !== iovs.segment[0] || iovs.offset[i] !== iovs.offset[i - 1] + iovs.bytes[i - 1]) return false;
  }
  return true;
}

function piecesOf(iovs: IoVecs): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  eachPiece(iovs, (piece) => pieces.push(piece));
  return pieces;
}

function eachPiece(iovs: IoVecs, fn: (piece: Uint8Array, at: number) => void): void {
  let at = 0;
  for (let i = 0; i < iovs.count; i++) {
    const { u8 } = iovs.segment[i] as Segment;
    fn(u8.subarray(iovs.offset[i], iovs.offset[i] + iovs.bytes[i]), at);
    at += iovs.bytes[i];
  }
}
