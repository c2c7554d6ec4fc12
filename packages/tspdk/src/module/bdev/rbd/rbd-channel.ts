/**
 * The data path of an RBD disk, on its home core: I/O goes to librbd with the memory where it lies, completions are fetched in the reactor's turns.
 *
 * librbd queues what has finished and writes to the reactor's own doorbell (an eventfd), so a core that sleeps is woken and no librbd thread ever enters
 * JavaScript. One RbdOp for each I/O under way; they are pooled by number, which librbd hands back with the completion. Memory belongs to librbd until then,
 * for there is no way to take an I/O back: an abort, or a reset, waits.
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import {
  type BackendChannel,
  type BdevBackend,
  IO_FLAG_FUA,
  IO_FLAG_NO_HOLE,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
} from '../../../bdev/index.ts';
import { EIO, ENOMEM, ENOTSUP } from '../../../bdev/status.ts';
import { SpdkError } from '../../../env/errors.ts';
import { IovCursor } from '../../../env/iov-cursor.ts';
import { sanitizer, tellForeign } from '../../../env/sanitizer.ts';
import { makeSegment, type Segment } from '../../../env/segment.ts';
import { doorbellFd } from '../../../event/fabric.ts';
import type { Pollable } from '../../../event/pollable.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { EVENT_TYPE_EVENTFD, type LibrbdData, WRITE_ZEROES_THICK } from './librbd.ts';

/** Most pieces of memory of one I/O: the layer splits what has more. */
export const RBD_IOVECS_MAX = 256;
/** Completions fetched by one call. */
const BATCH = 64;
const TWO32 = 4294967296;

export class RbdBackend implements BdevBackend, Pollable {
  readonly name = 'rbd';
  readonly image: number;
  readonly librbd: LibrbdData;
  readonly #reactor: Reactor;
  readonly #ops: RbdOp[] = [];
  readonly #free: RbdOp[] = [];
  /** Where librbd puts finished completions, and behind them the handle of a new one. */
  readonly #memory = makeSegment(0, new SharedArrayBuffer((BATCH + 1) * 8));
  readonly #words = new Int32Array(this.#memory.sab);
  #inFlight = 0;

  /** @throws {SpdkError} ENOTSUP when native code cannot wake this reactor */
  constructor(image: number, librbd: LibrbdData, reactor: Reactor) {
    this.image = image;
    this.librbd = librbd;
    this.#reactor = reactor;
    const doorbell = doorbellFd(reactor.fabric, reactor.index);
    if (doorbell < 0) throw new SpdkError('ENOTSUP', `core ${reactor.core} has no eventfd for librbd to ring`);
    const rc = librbd.setImageNotification(image, doorbell, EVENT_TYPE_EVENTFD);
    if (rc < 0) throw new SpdkError('ENOTSUP', `rbd_set_image_notification failed with ${rc}`);
    reactor.addPollable(this);
  }

  createChannel(): BackendChannel {
    return { submit: this.#submit, close: () => {} };
  }

  readonly #submit = (io: BdevIo): void => {
    let op = this.#free.pop();
    if (op === undefined) {
      op = new RbdOp(this, this.#ops.length);
      this.#ops.push(op);
    }
    this.#inFlight++;
    op.start(io);
  };

  /** A new completion that gives `index` back; 0 when there is no memory for one. */
  completion(index: number): number {
    if (this.librbd.createCompletion(index, this.#memory.address + BATCH * 8) < 0) return 0;
    return this.#handle(BATCH);
  }

  #handle(at: number): number {
    return (this.#words[at * 2] >>> 0) + (this.#words[at * 2 + 1] >>> 0) * TWO32;
  }

  poll(): number {
    if (this.#inFlight === 0) return 0;
    const { librbd } = this;
    const n = librbd.pollIoEvents(this.image, this.#memory.address, BATCH);
    // A completed I/O may lead to new ones, whose handles are put behind the batch.
    for (let i = 0; i < n; i++) {
      const completion = this.#handle(i);
      const index = librbd.getArg(completion);
      const result = librbd.getReturnValue(completion);
      librbd.release(completion);
      this.#ops[index].onResult(result);
    }
    return n > 0 ? n : 0;
  }

  /**
   * librbd rings, after it has queued: whatever this core did not find in its last turn makes the doorbell readable, and the event loop has a turn
   * follow when it has emptied that.
   */
  nextPollUs(): number {
    return Number.POSITIVE_INFINITY;
  }

  put(op: RbdOp): void {
    this.#inFlight--;
    this.#free.push(op);
  }

  close(): void {
    this.#reactor.removePollable(this);
  }
}

class RbdOp {
  readonly #backend: RbdBackend;
  readonly #index: number;
  readonly #cursor = new IovCursor();
  /** struct iovec[RBD_IOVECS_MAX], made when first needed. */
  #iovecs: Segment | null = null;
  #iovecWords: Int32Array = new Int32Array(0);
  #io: BdevIo | null = null;
  /** The data is written; FUA wants it on stable storage. */
  #flushing = false;

  constructor(backend: RbdBackend, index: number) {
    this.#backend = backend;
    this.#index = index;
  }

  start(io: BdevIo): void {
    this.#io = io;
    this.#flushing = io.type === IO_FLUSH;
    this.#submit(io);
  }

  #submit(io: BdevIo): void {
    const completion = this.#backend.completion(this.#index);
    if (completion === 0) {
      this.#end(ENOMEM);
      return;
    }
    const rc = this.#call(io, completion);
    if (rc >= 0) return;
    // Refused, and it will not be queued.
    this.#backend.librbd.release(completion);
    this.#end(rc);
  }

  #call(io: BdevIo, completion: number): number {
    const { librbd, image } = this.#backend;
    if (this.#flushing) return librbd.flush(image, completion);
    switch (io.type) {
      case IO_READ:
      case IO_WRITE:
        return this.#transfer(io, completion);
      case IO_UNMAP:
        return librbd.discard(image, io.byteOffset, io.bytes, completion);
      case IO_WRITE_ZEROES: {
        const flags = (io.flags & IO_FLAG_NO_HOLE) !== 0 ? WRITE_ZEROES_THICK : 0;
        return librbd.writeZeroes(image, io.byteOffset, io.bytes, completion, flags);
      }
      default:
        return ENOTSUP;
    }
  }

  #transfer(io: BdevIo, completion: number): number {
    const { librbd, image } = this.#backend;
    const cursor = this.#cursor;
    const reads = io.type === IO_READ;
    cursor.start(io.iovs);
    if (cursor.pieces === 1) {
      const address = cursor.segment.address + cursor.offset;
      if (sanitizer !== null) tellForeign(address, cursor.bytes, reads);
      if (reads) return librbd.read(image, io.byteOffset, io.bytes, address, completion);
      return librbd.write(image, io.byteOffset, io.bytes, address, completion);
    }
    const iovecs = this.#iovecs ?? this.#makeIovecs();
    const count = cursor.fill(this.#iovecWords, RBD_IOVECS_MAX);
    if (reads) return librbd.readv(image, iovecs.address, count, io.byteOffset, completion);
    return librbd.writev(image, iovecs.address, count, io.byteOffset, completion);
  }

  #makeIovecs(): Segment {
    const segment = makeSegment(0, new SharedArrayBuffer(RBD_IOVECS_MAX * 16));
    this.#iovecWords = new Int32Array(segment.sab);
    this.#iovecs = segment;
    return segment;
  }

  onResult(result: number): void {
    const io = this.#io as BdevIo;
    if (result < 0) {
      this.#end(result);
    } else if (io.type === IO_READ && result !== io.bytes) {
      // The image has become smaller than the disk.
      this.#end(EIO);
    } else if (!this.#flushing && io.type !== IO_READ && (io.flags & IO_FLAG_FUA) !== 0) {
      this.#flushing = true;
      this.#submit(io);
    } else {
      this.#end(0);
    }
  }

  #end(status: number): void {
    const io = this.#io as BdevIo;
    this.#io = null;
    this.#cursor.end();
    this.#backend.put(this);
    io.complete(status);
  }
}
