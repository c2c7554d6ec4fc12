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
  IO_FLAG_FUA,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
} from '../../../bdev/index.ts';
import { type BdevManager, bdevManager, type Retry } from '../../../bdev/manager.ts';
import { ECANCELED, EIO, ENOTSUP } from '../../../bdev/status.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import type { Segment } from '../../../env/segment.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { log } from '../../../log/index.ts';
import type { Disk, DiskRequest } from './define-disk.ts';
import { statusOfThrown } from './io-status.ts';

const diskLog = log.register('bdev_disk');
/** Different errors of one disk that are logged; it goes on failing without. */
const LOGGED_ERRORS = 16;

export class DiskBackend implements BdevBackend, Retry {
  /** What new calls go to. */
  disk: Disk;
  readonly name: string;
  readonly reactor: Reactor;
  readonly manager: BdevManager;
  readonly timeoutUs: number;
  /** Under way. */
  readonly calls = new Set<DiskCall>();
  readonly free: DiskCall[] = [];
  /** I/Os that wait for the next version of the disk; null: nothing is replaced. */
  #held: BdevIo[] | null = null;
  #whenIdle: (() => void) | null = null;
  #watching = false;
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

  /** A call has ended. */
  ended(call: DiskCall): void {
    this.calls.delete(call);
    if (this.calls.size === 0) this.#whenIdle?.();
  }

  /** What is under way ends with the old disk, what comes meanwhile goes to `next`. Resolves when the old one is closed. @throws {SpdkError} EBUSY */
  async replace(next: Disk): Promise<void> {
    if (this.#held !== null) throw new SpdkError('EBUSY', `disk "${this.name}" is being replaced already`);
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
    await this.#close(old);
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
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (this.#logged.has(text) || this.#logged.size === LOGGED_ERRORS) return;
    this.#logged.add(text);
    diskLog.error(`disk "${this.name}": ${what}: ${text}`);
  }

  close(): Promise<void> {
    return this.#close(this.disk);
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

  close(): void {}
}

class DiskCall implements DiskRequest {
  readonly #backend: DiskBackend;
  readonly #settled: () => void;
  readonly #failed: (error: unknown) => void;
  #io: BdevIo | null = null;
  #abort: AbortController | null = null;
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
    return this.#abort.signal;
  }

  start(io: BdevIo): void {
    this.#io = io;
    this.#disk = this.#backend.disk;
    io.driver = this;
    this.startUs = this.#backend.reactor.clock.nowUs;
    this.#backend.calls.add(this);
    this.#backend.watch();
    let result: Promise<void> | void;
    try {
      result = this.#run(io);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (isThenable(result)) result.then(this.#settled, this.#failed);
    else this.#settled();
  }

  #run(io: BdevIo): Promise<void> | void {
    const disk = this.#disk;
    switch (io.type) {
      case IO_READ:
        this.what = 'read';
        return this.#transfer(io, disk.read, true);
      case IO_WRITE:
        this.what = 'write';
        return this.#durable(io, this.#transfer(io, disk.write!, false));
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

  /** One call on the memory itself; where it lies in several pieces, one on a copy. */
  #transfer(
    io: BdevIo,
    fn: (offset: number, buffer: Uint8Array, request: DiskRequest) => Promise<void> | void,
    toMemory: boolean,
  ): Promise<void> | void {
    const { iovs } = io;
    if (iovs.count === 1) {
      const { u8 } = iovs.segment[0] as Segment;
      return fn(io.byteOffset, u8.subarray(iovs.offset[0], iovs.offset[0] + io.bytes), this);
    }
    const buffer = new Uint8Array(io.bytes);
    if (!toMemory) {
      eachPiece(iovs, (piece, at) => buffer.set(piece, at));
      return fn(io.byteOffset, buffer, this);
    }
    const scatter = (): void => {
      // Given up meanwhile: the memory is somebody else's.
      if (this.#io !== io) return;
      eachPiece(iovs, (piece, at) => piece.set(buffer.subarray(at, at + piece.length)));
    };
    const result = fn(io.byteOffset, buffer, this);
    return isThenable(result) ? Promise.resolve(result).then(scatter) : scatter();
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
    this.#release();
    this.#abort = null;
    this.#backend.free.push(this);
    io.complete(status);
    this.#backend.reactor.kick();
  }

  /** The I/O ends now; this call is never used again. */
  giveUp(status: number): void {
    const io = this.#io;
    if (io === null) return;
    this.#release();
    this.#abort?.abort(new Error(`disk "${this.#backend.name}": ${this.what} was given up`));
    io.complete(status);
    this.#backend.reactor.kick();
  }

  #release(): void {
    this.#io = null;
    this.#backend.ended(this);
  }
}

function isThenable(result: unknown): result is Promise<void> {
  return typeof (result as { then?: unknown } | undefined)?.then === 'function';
}

function eachPiece(iovs: IoVecs, fn: (piece: Uint8Array, at: number) => void): void {
  let at = 0;
  for (let i = 0; i < iovs.count; i++) {
    const { u8 } = iovs.segment[i] as Segment;
    fn(u8.subarray(iovs.offset[i], iovs.offset[i] + iovs.bytes[i]), at);
    at += iovs.bytes[i];
  }
}
