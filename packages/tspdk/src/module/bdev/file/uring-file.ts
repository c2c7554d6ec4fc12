/**
 * Files through the reactor's io_uring. One FileOp for each I/O under way carries it through its phases; ops are pooled by channel.
 *
 *   data     read or write, again for what a short transfer left
 *   punch    fallocate; falls back to
 *   zeroes   writing zeroes, a piece at a time
 *   sync     fdatasync: a flush, or what FUA needs where a write cannot carry it
 *
 * Data path: nothing is allocated once the pool has grown. Memory belongs to the kernel until the completion; an abort asks the kernel to stop
 * and still waits for it. What O_DIRECT wants of the memory is the layer's to see to (requiredAlignmentBytes).
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { Extents } from '../../../bdev/extents.ts';
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
import { bdevManager } from '../../../bdev/manager.ts';
import { EIO, ENOTSUP } from '../../../bdev/status.ts';
import { codeOfErrno } from '../../../env/errors.ts';
import { IovCursor } from '../../../env/iov-cursor.ts';
import { limits } from '../../../env/limits.ts';
import { sanitizer, tellForeign } from '../../../env/sanitizer.ts';
import { makeSegment, type Segment } from '../../../env/segment.ts';
import type { Ring, RingOp } from '../../../env/uring.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { blockStatusOf, type FileData, fileLog, MEMORY_PLAIN, MEMORY_REGISTERED, zeroesIn } from './file-data.ts';

const RWF_DSYNC = 2;
const PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01;
/** A file that somebody has cut gets longer by it, as by a write. There is no hole without KEEP_SIZE. */
const ZERO_RANGE = 0x10;
const IOVECS = 64;
const EINTR = -4;
const EAGAIN = -11;
const EINVAL = -22;

const PHASE_DATA = 0;
const PHASE_PUNCH = 1;
const PHASE_ZEROES = 2;
const PHASE_SYNC = 3;

export class UringFileBackend implements BdevBackend {
  readonly data: FileData;
  readonly ring: Ring;
  /** What the ring calls the file. */
  readonly file: number;
  readonly zeroes: Segment;
  readonly zeroesOffset: number;
  readonly zeroesBytes: number;
  /** Cleared when the file system refuses: what is not there is not asked for twice. */
  dsync = true;
  punch: boolean;
  zeroRange: boolean;
  readonly #name: string;
  readonly #reactor: Reactor;
  readonly #naps: boolean;
  #underWay = 0;
  /** What of `data.memory` this core has said. */
  #said = 0;

  constructor(name: string, data: FileData, reactor: Reactor, ring: Ring) {
    this.#name = name;
    this.data = data;
    this.ring = ring;
    this.#reactor = reactor;
    this.#naps = data.direct && reactor.naps;
    this.file = ring.fixed.addFile(data.fd);
    this.zeroes = reactor.local(bdevManager).zeroes;
    const { offset, bytes } = zeroesIn(this.zeroes);
    this.zeroesOffset = offset;
    this.zeroesBytes = bytes;
    this.punch = data.fallocate;
    this.zeroRange = data.fallocate;
  }

  createChannel(): BackendChannel {
    return new UringFileChannel(this);
  }

  /** An I/O begins. One on O_DIRECT is a device's to do, which the core naps for. */
  began(): void {
    if (this.#underWay++ === 0 && this.#naps) this.#reactor.awaited++;
  }

  /** It has ended. */
  ended(): void {
    if (--this.#underWay === 0 && this.#naps) this.#reactor.awaited--;
  }

  /**
   * A read or write has been queued. Those that find their data in the page cache are done as they are submitted, and go together once a turn. A device is to work on the first while the next are
   * made ready: else it waits while the core works, and the core waits while it does.
   */
  queued(): void {
    if (this.data.direct && this.ring.queued >= limits.bdev_direct_batch) this.ring.submit();
  }

  /** What the ring knows of the memory of a segment: it is registered with the first I/O that uses it, if it can be. */
  fixedOf(segment: Segment): number {
    if (segment.fixed === 0) this.#register(segment);
    const fixed = segment.fixedBy === this.ring.fixed ? segment.fixed : 0;
    this.uses(fixed > 0 ? MEMORY_REGISTERED : MEMORY_PLAIN);
    return fixed;
  }

  /** O_DIRECT I/O goes by memory of a kind, MEMORY_*. */
  uses(kind: number): void {
    if ((this.#said & kind) !== 0) return;
    this.#said |= kind;
    Atomics.or(new Int32Array(this.data.memory), 0, kind);
  }

  #register(segment: Segment): void {
    const { fixed } = this.ring;
    const added = fixed.addSegment(segment);
    if (added || fixed.errno === 0) return;
    const why = codeOfErrno(fixed.errno);
    fileLog.notice(
      `bdev "${this.#name}": ${segment.sizeBytes} bytes of I/O memory are not registered with io_uring: ${why}; the limit of locked memory (ulimit -l) may be too low`,
    );
  }

  close(): void {
    this.ring.fixed.removeFile(this.file);
  }
}

class UringFileChannel implements BackendChannel {
  readonly #backend: UringFileBackend;
  readonly #free: FileOp[] = [];

  constructor(backend: UringFileBackend) {
    this.#backend = backend;
  }

  submit(io: BdevIo): void {
    const op = this.#free.pop() ?? new FileOp(this.#backend, this.#free);
    io.driver = op;
    op.start(io);
  }

  abort(io: BdevIo): boolean {
    const op = io.driver;
    return op instanceof FileOp && op.abort();
  }

  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    return blockStatusOf(this.#backend.data, byteOffset, bytes, out);
  }

  close(): void {}
}

class FileOp implements RingOp {
  readonly #backend: UringFileBackend;
  readonly #free: FileOp[];
  readonly #cursor = new IovCursor();
  /** struct iovec[IOVECS], made when first needed. */
  #iovecs: Segment | null = null;
  #iovecWords: Int32Array = new Int32Array(0);
  #io: BdevIo | null = null;
  #phase = PHASE_DATA;
  #done = 0;
  #zeroRange = false;
  /** The write that is under way is written through. Its own: the file system may have refused another one meanwhile. */
  #dsync = false;

  constructor(backend: UringFileBackend, free: FileOp[]) {
    this.#backend = backend;
    this.#free = free;
  }

  start(io: BdevIo): void {
    this.#backend.began();
    this.#io = io;
    this.#done = 0;
    this.#dsync = false;
    this.#phase = PHASE_DATA;
    switch (io.type) {
      case IO_READ:
      case IO_WRITE:
        this.#cursor.start(io.iovs);
        this.#transfer();
        break;
      case IO_UNMAP:
      case IO_WRITE_ZEROES:
        this.#zero();
        break;
      case IO_FLUSH:
        this.#sync();
        break;
      default:
        this.#end(ENOTSUP);
    }
  }

  /** Asks the kernel to give up. */
  abort(): boolean {
    return this.#backend.ring.cancel(this);
  }

  onCqe(res: number): void {
    if (res === EINTR || res === EAGAIN) this.#again();
    else if (this.#phase === PHASE_DATA) this.#transferred(res);
    else if (this.#phase === PHASE_PUNCH) this.#punched(res);
    else if (this.#phase === PHASE_ZEROES) this.#zeroed(res);
    else this.#end(res);
  }

  #again(): void {
    if (this.#phase === PHASE_DATA) this.#transfer();
    else if (this.#phase === PHASE_PUNCH) this.#zero();
    else if (this.#phase === PHASE_ZEROES) this.#writeZeroes();
    else this.#sync();
  }

  #transfer(): void {
    const backend = this.#backend;
    const { data, ring, file } = backend;
    const io = this.#io as BdevIo;
    const cursor = this.#cursor;
    const at = io.byteOffset + this.#done;
    this.#dsync = io.type === IO_WRITE && (io.flags & IO_FLAG_FUA) !== 0 && backend.dsync;
    const flags = this.#dsync ? RWF_DSYNC : 0;
    if (cursor.pieces === 1) {
      const address = cursor.segment.address + cursor.offset;
      if (sanitizer !== null) tellForeign(address, cursor.bytes, io.type === IO_READ);
      const fixed = data.direct ? backend.fixedOf(cursor.segment) : 0;
      if (io.type === IO_READ) ring.read(file, address, cursor.bytes, at, this, 0, fixed);
      else ring.write(file, address, cursor.bytes, at, this, flags, fixed);
      backend.queued();
      return;
    }
    const iovecs = this.#iovecs ?? this.#makeIovecs();
    const count = cursor.fill(this.#iovecWords, IOVECS);
    if (data.direct) backend.uses(MEMORY_PLAIN);
    if (sanitizer !== null) tellIovecs(this.#iovecWords, count, io.type === IO_READ);
    if (io.type === IO_READ) ring.readv(file, iovecs.address, count, at, this);
    else ring.writev(file, iovecs.address, count, at, this, flags);
    backend.queued();
  }

  #makeIovecs(): Segment {
    const segment = makeSegment(0, new SharedArrayBuffer(IOVECS * 16));
    this.#iovecWords = new Int32Array(segment.sab);
    this.#iovecs = segment;
    return segment;
  }

  #transferred(res: number): void {
    const io = this.#io as BdevIo;
    if ((res === ENOTSUP || res === EINVAL) && this.#dsync) {
      // No write-through here: write, then sync.
      this.#backend.dsync = false;
      this.#transfer();
      return;
    }
    // Zero bytes: the file ends before the disk does, somebody has cut it.
    if (res <= 0) {
      this.#end(res === 0 ? EIO : res);
      return;
    }
    this.#cursor.advance(res);
    this.#done += res;
    if (this.#done < io.bytes) this.#transfer();
    else this.#written();
  }

  #written(): void {
    const io = this.#io as BdevIo;
    if ((io.flags & IO_FLAG_FUA) === 0 || this.#dsync) this.#end(0);
    else this.#sync();
  }

  /** Unmap and write zeroes: by fallocate, and by writing where the file system cannot. */
  #zero(): void {
    const backend = this.#backend;
    const io = this.#io as BdevIo;
    const keep = io.type === IO_WRITE_ZEROES && (io.flags & IO_FLAG_NO_HOLE) !== 0;
    this.#phase = PHASE_PUNCH;
    this.#zeroRange = keep || !backend.punch;
    if (!keep && backend.punch) {
      backend.ring.fallocate(backend.file, PUNCH_HOLE_KEEP_SIZE, io.byteOffset, io.bytes, this);
    } else if (backend.zeroRange) {
      backend.ring.fallocate(backend.file, ZERO_RANGE, io.byteOffset, io.bytes, this);
    } else {
      this.#phase = PHASE_ZEROES;
      this.#writeZeroes();
    }
  }

  #punched(res: number): void {
    if (res === 0) {
      this.#written();
    } else if (res === ENOTSUP || res === -38) {
      if (this.#zeroRange) this.#backend.zeroRange = false;
      else this.#backend.punch = false;
      this.#zero();
    } else {
      this.#end(res);
    }
  }

  #writeZeroes(): void {
    const { file, ring, zeroes, zeroesOffset, zeroesBytes } = this.#backend;
    const io = this.#io as BdevIo;
    const bytes = Math.min(zeroesBytes, io.bytes - this.#done);
    ring.write(file, zeroes.address + zeroesOffset, bytes, io.byteOffset + this.#done, this);
  }

  #zeroed(res: number): void {
    if (res <= 0) {
      this.#end(res === 0 ? EIO : res);
      return;
    }
    this.#done += res;
    if (this.#done < (this.#io as BdevIo).bytes) this.#writeZeroes();
    else this.#written();
  }

  #sync(): void {
    this.#phase = PHASE_SYNC;
    this.#backend.ring.fsync(this.#backend.file, true, this);
  }

  #end(status: number): void {
    const io = this.#io as BdevIo;
    this.#io = null;
    this.#cursor.end();
    this.#free.push(this);
    this.#backend.ended();
    io.complete(status);
  }
}

/** Tells of `count` struct iovec. */
function tellIovecs(words: Int32Array, count: number, writes: boolean): void {
  for (let at = 0; at < count * 4; at += 4) {
    tellForeign((words[at] >>> 0) + (words[at + 1] >>> 0) * 2 ** 32, words[at + 2], writes);
  }
}
