/**
 * The way to the data: what a descriptor's owner submits I/O through, on one lightweight thread.
 *
 * Every call returns 0 when the I/O was taken, and then calls back exactly once, later; or a negative errno, and then never
 * calls back: -ENOMEM (queue up with `queueIoWait` and try again), -EINVAL (range, alignment, buffer), -EBADF (not open for
 * writing), -ENOTSUP, -ENODEV (being removed). Offsets and lengths are bytes, multiples of the block size; a disk that is memory (IO_ZCOPY) takes any for reads, writes and zeroes that it has no limits for. Memory is (segment, offset) and must
 * stay as it is until the callback. The channel's reactor and thread only. Data path: nothing is allocated.
 */
import type { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import { type IoChannel, putIoChannel } from '../thread/index.ts';
import type { Bdev } from './bdev.ts';
import type { BdevIo, BdevIoDone, IoWaitEntry } from './bdev-io.ts';
import type { BdevDesc } from './desc.ts';
import type { Extents } from './extents.ts';
import { ioRank, PLACE_SUBMITTED, RANK_OUTSIDE } from './io-rank.ts';
import {
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_FLAG_BARE,
  IO_FLAGS_PASSED,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
  MODIFYING_TYPES,
} from './io-type.ts';
import type { Metadata } from './metadata.ts';
import { startReset } from './reset.ts';
import { EBADF, EINVAL, ENODEV, ENOMEM, ENOTSUP } from './status.ts';
import { offsetIn, type ThreadChannel } from './thread-channel.ts';

/** A disk's data path on one lightweight thread (SPDK: spdk_bdev_get_io_channel's, with a descriptor). From `BdevDesc.getIoChannel`; used and closed on its thread. */
export class BdevChannel {
  readonly bdev: Bdev;
  readonly desc: BdevDesc;
  readonly shared: ThreadChannel;
  #writable: boolean;
  /** What its I/Os carry in their flags. Set by the descriptor. */
  mark = 0;
  /** Number of the connection that the next I/Os are for, by whoever serves several over one channel; 0: none. */
  connection = 0;
  #open = true;

  /** Of its I/Os, in the pool. */
  readonly #rank: number;
  readonly #bare: boolean;
  readonly #blockBytes: number;
  /** The bits that are zero in what is whole blocks; of blocks that are no power of two all, so that only zero passes. */
  readonly #blockMask: number;
  /** What may come from a disk above as it is. */
  readonly #asIsTypes: number;
  readonly #ioChannel: IoChannel<ThreadChannel> | null;

  /** Made by `BdevDesc.getIoChannel`, which has taken a reference to `shared`, or to the thread's `ioChannel` that holds it. */
  constructor(desc: BdevDesc, shared: ThreadChannel, ioChannel: IoChannel<ThreadChannel> | null) {
    this.desc = desc;
    this.bdev = desc.bdev;
    this.shared = shared;
    this.#writable = desc.write;
    this.#rank = desc.forDisk ? ioRank(desc.bdev, PLACE_SUBMITTED) : RANK_OUTSIDE;
    this.#bare = desc.bare;
    this.#blockBytes = desc.blockSizeBytes;
    this.#blockMask = (desc.blockSizeBytes & (desc.blockSizeBytes - 1)) === 0 ? desc.blockSizeBytes - 1 : -1;
    this.#ioChannel = ioChannel;
    const types = ioTypes(IO_READ) | (desc.write ? ioTypes(IO_WRITE) : 0);
    this.#asIsTypes = desc.bare ? 0 : desc.bdev.plainTypes & types;
  }

  /** Reads `bytes` at `byteOffset` of the disk into `offset` of `segment`. */
  read(segment: Segment, offset: number, byteOffset: number, bytes: number, cb: BdevIoDone, ctx: unknown): number {
    return this.#single(IO_READ, segment, offset, byteOffset, bytes, 0, cb, ctx);
  }

  /** Writes. `flags`: IO_FLAG_FUA. */
  write(
    segment: Segment,
    offset: number,
    byteOffset: number,
    bytes: number,
    cb: BdevIoDone,
    ctx: unknown,
    flags = 0,
  ): number {
    return this.#single(IO_WRITE, segment, offset, byteOffset, bytes, flags, cb, ctx);
  }

  /** Reads `iovs.totalBytes` bytes into the pieces of `iovs`, which the caller leaves alone until the callback. */
  readv(iovs: IoVecs, byteOffset: number, cb: BdevIoDone, ctx: unknown): number {
    return this.#vectored(IO_READ, iovs, byteOffset, 0, cb, ctx);
  }

  /** Writes the pieces of `iovs`. `flags`: IO_FLAG_FUA. */
  writev(iovs: IoVecs, byteOffset: number, cb: BdevIoDone, ctx: unknown, flags = 0): number {
    return this.#vectored(IO_WRITE, iovs, byteOffset, flags, cb, ctx);
  }

  /** Completes with -EILSEQ when the disk holds something else than the pieces of `iovs`. */
  comparev(iovs: IoVecs, byteOffset: number, cb: BdevIoDone, ctx: unknown): number {
    return this.#vectored(IO_COMPARE, iovs, byteOffset, 0, cb, ctx);
  }

  /**
   * Writes `writeIovs` if the disk holds `iovs`, which are of the same length; else it completes with -EILSEQ. Nothing else changes the range in between, whatever core it
   * comes from (SPDK: spdk_bdev_comparev_and_writev_blocks). `flags`: IO_FLAG_FUA.
   */
  comparevAndWritev(
    iovs: IoVecs,
    writeIovs: IoVecs,
    byteOffset: number,
    cb: BdevIoDone,
    ctx: unknown,
    flags = 0,
  ): number {
    if (writeIovs.totalBytes !== iovs.totalBytes || !insideSegments(writeIovs)) return EINVAL;
    return this.#vectored(IO_COMPARE_AND_WRITE, iovs, byteOffset, flags, cb, ctx, writeIovs);
  }

  /** Copies `bytes` from `sourceOffset` of this disk to `byteOffset`; -EINVAL when the two overlap. */
  copy(byteOffset: number, sourceOffset: number, bytes: number, cb: BdevIoDone, ctx: unknown): number {
    const rc = this.#check(IO_COPY, byteOffset, bytes) || this.#check(IO_COPY, sourceOffset, bytes);
    if (rc !== 0) return rc;
    if (byteOffset < sourceOffset + bytes && sourceOffset < byteOffset + bytes) return EINVAL;
    const io = this.shared.manager.pool.get(this.#rank);
    if (io === null) return ENOMEM;
    io.sourceOffset = sourceOffset;
    this.#submit(io, IO_COPY, byteOffset, bytes, 0, cb, ctx);
    return 0;
  }

  /**
   * As `readv`, with the metadata of the blocks, one after the other, in `mdIovs`: of a disk that has it in memory of its own (SPDK: spdk_bdev_readv_blocks_with_md).
   * -EINVAL for another disk and another length.
   */
  readvWithMd(iovs: IoVecs, mdIovs: IoVecs, byteOffset: number, cb: BdevIoDone, ctx: unknown): number {
    if (!this.#fits(iovs, mdIovs)) return EINVAL;
    return this.#vectored(IO_READ, iovs, byteOffset, 0, cb, ctx, null, mdIovs);
  }

  /** As `writev`, with metadata (SPDK: spdk_bdev_writev_blocks_with_md). */
  writevWithMd(iovs: IoVecs, mdIovs: IoVecs, byteOffset: number, cb: BdevIoDone, ctx: unknown, flags = 0): number {
    if (!this.#fits(iovs, mdIovs)) return EINVAL;
    return this.#vectored(IO_WRITE, iovs, byteOffset, flags, cb, ctx, null, mdIovs);
  }

  /** Whether `mdIovs` is the metadata of the blocks of `iovs`. */
  #fits(iovs: IoVecs, mdIovs: IoVecs): boolean {
    const format = this.bdev.metadata?.format;
    if (format === undefined || format.interleaved || this.#bare || !insideSegments(mdIovs)) return false;
    return mdIovs.totalBytes === (iovs.totalBytes / this.#blockBytes) * format.bytes;
  }

  /** The range may be forgotten; it reads as zeroes afterwards on the kit's own modules. */
  unmap(byteOffset: number, bytes: number, cb: BdevIoDone, ctx: unknown): number {
    return this.#noData(IO_UNMAP, byteOffset, bytes, 0, cb, ctx);
  }

  /** The range reads as zeroes afterwards. `flags`: IO_FLAG_FUA, IO_FLAG_NO_HOLE. */
  writeZeroes(byteOffset: number, bytes: number, flags: number, cb: BdevIoDone, ctx: unknown): number {
    return this.#noData(IO_WRITE_ZEROES, byteOffset, bytes, flags, cb, ctx);
  }

  /** What was completed before is on stable storage when this completes. The range is a hint. */
  flush(byteOffset: number, bytes: number, cb: BdevIoDone, ctx: unknown): number {
    return this.#noData(IO_FLUSH, byteOffset, bytes, 0, cb, ctx);
  }

  /**
   * What a disk above this one was asked for: the same type, memory, length and flags, at `byteOffset` of this one. `io` stays as it is until the callback. Not for
   * resets and what has no range.
   */
  forward(io: BdevIo, byteOffset: number, cb: BdevIoDone, ctx: unknown): number {
    const { type, bytes } = io;
    const rc = this.#check(type, byteOffset, bytes);
    if (rc !== 0) return rc;
    const own = this.shared.manager.pool.get(this.#rank);
    if (own === null) {
      io.refusedRank = this.#rank;
      return ENOMEM;
    }
    own.iovs = io.iovs;
    own.writeIovs = io.writeIovs;
    own.mdIovs = io.mdIovs;
    if (type === IO_COPY) own.sourceOffset = io.sourceOffset + (byteOffset - io.byteOffset);
    this.connection = io.connection;
    this.#submit(own, type, byteOffset, bytes, io.flags & IO_FLAGS_PASSED, cb, ctx);
    return 0;
  }

  /**
   * Whether an I/O of a disk above may go on here as the BdevIo that it is, `onBytes` further on: nothing here wants to look at it. It has been checked there, and this disk has the same blocks
   * (thread-channel.ts).
   */
  takesAsIs(io: BdevIo, onBytes: number): boolean {
    const { bdev } = this;
    return (
      (this.#asIsTypes & (1 << io.type)) !== 0 &&
      this.mark === 0 &&
      io.byteOffset + onBytes + io.bytes <= bdev.sizeBytes &&
      bdev.faults === null &&
      !bdev.removing &&
      this.#open &&
      this.shared.free
    );
  }

  /** Aborts what the disk has under way on every channel of every core, and starts afresh. */
  reset(cb: BdevIoDone, ctx: unknown): number {
    if (!this.#open || this.bdev.removing) return ENODEV;
    return startReset(this.shared, this.#rank, this.connection, cb, ctx, this.mark);
  }

  /**
   * Aborts this thread's I/Os that were submitted with `ioCtx` as their context; they complete with -ECANCELED as far as the
   * module can still stop them. Returns how many that were; what was carried to a home core counts, though it may
   * end well there before it is reached (SPDK: spdk_bdev_abort). Not a data path: looks at all of the pool.
   */
  abort(ioCtx: unknown): number {
    const { faults } = this.bdev;
    let aborted = 0;
    for (const io of this.shared.manager.pool.all) {
      const at = io.sink === this.shared && io.ctx === ioCtx ? offsetIn(io, this.shared) : -1;
      if (at < 0) continue;
      const fault = faults?.strikeAbort(this.shared, io, at) ?? null;
      if (fault === null ? this.shared.abort(io) : fault === 'lost') aborted++;
    }
    return aborted;
  }

  /**
   * After -ENOMEM: `entry.onReady()` is called once on this thread, when there is room, in a later turn when there is some already (SPDK refuses that with -EINVAL). FIFO over all
   * disks of the reactor; what disks need for others' I/Os goes first (io-rank.ts). On the channel that said so. @throws {SpdkError} EINVAL when `entry` waits already
   */
  queueIoWait(entry: IoWaitEntry): void {
    this.shared.manager.waitForIo(entry, this.shared.thread, this.#rank);
  }

  /** False when it did not wait. */
  cancelIoWait(entry: IoWaitEntry): boolean {
    return this.shared.manager.pool.cancelWait(entry);
  }

  /** Whether `zcopy` is worth trying just now: nothing of this disk itself stands in the way. */
  get inPlace(): boolean {
    const { backend, gates } = this.shared;
    return backend.zcopy !== undefined && gates === null && this.bdev.faults === null;
  }

  /**
   * The data where it lies: appends the disk's own memory to `out`, valid until the channel is closed. False when the disk cannot, the range is
   * outside, or `out` has no room (then `out` is as before). With `write` the caller is about to change those bytes: it calls `zcopyWritten`
   * when it has, at once for a plain copy. Counts as an I/O.
   */
  zcopy(byteOffset: number, bytes: number, out: IoVecs, write = false): boolean {
    const { bdev } = this;
    // What a limit, a lock or a fault may hold back is submitted as an I/O.
    if (!this.inPlace || bdev.removing || !this.#open) return false;
    if (write && !this.#writable) return false;
    if (!(byteOffset >= 0 && bytes > 0 && byteOffset + bytes <= bdev.sizeBytes)) return false;
    const { backend } = this.shared;
    if (!backend.zcopy?.(byteOffset, bytes, out, write)) return false;
    if (write) this.shared.windows.open(byteOffset, bytes);
    const type = write ? IO_WRITE : IO_READ;
    this.shared.stat.countInstant(type, bytes);
    bdev.meter?.tallyInstant(type);
    return true;
  }

  /**
   * `bytes` of what a `zcopy` for writing at `byteOffset` named have been written, the first ones; 0: it was given up. Once for each. Until then a lock of the range waits.
   * @throws {Error} when there was no such zcopy
   */
  zcopyWritten(byteOffset: number, bytes: number): void {
    if (!this.shared.windows.close(byteOffset)) throw new Error(`no zcopy for writing is under way at ${byteOffset}`);
    this.shared.backend.zcopyWritten?.(byteOffset, bytes);
  }

  /**
   * Appends what is allocated in the range to `out`: fewer bytes than asked when `out` is full or the disk likes, never none. All of it is
   * data when the disk cannot tell. 0, or -EINVAL for a range outside, or what the disk answers.
   */
  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    const { bdev } = this;
    if (!(byteOffset >= 0 && bytes > 0 && byteOffset + bytes <= this.desc.sizeBytes)) return EINVAL;
    if (bdev.removing || !this.#open) return ENODEV;
    const { backend } = this.shared;
    if (backend.blockStatus === undefined || this.#bare) {
      out.push(bytes, 0);
      return 0;
    }
    return backend.blockStatus(byteOffset, bytes, out);
  }

  /** Gives the channel back. What is outstanding still completes. @throws {SpdkError} EWRONGTHREAD */
  close(): void {
    if (!this.#open) return;
    if (this.#ioChannel === null) this.shared.release();
    else putIoChannel(this.#ioChannel);
    this.#open = false;
    this.desc.channelClosed(this);
  }

  #check(type: number, byteOffset: number, bytes: number): number {
    const { bdev } = this;
    if (bdev.removing || !this.#open) return ENODEV;
    if ((bdev.takenTypes & (1 << type)) === 0 || (this.#bare && (BARE_TYPES & (1 << type)) === 0)) return ENOTSUP;
    if ((MODIFYING_TYPES & (1 << type)) !== 0 && !this.#writable) return EBADF;
    const sizeBytes = this.#bare ? bdev.dataSizeBytes : bdev.sizeBytes;
    if (!(byteOffset >= 0 && bytes > 0 && byteOffset + bytes <= sizeBytes)) return EINVAL;
    const block = this.#blockBytes;
    if ((byteOffset | 0) === byteOffset && (bytes | 0) === bytes && ((byteOffset | bytes) & this.#blockMask) === 0)
      return 0;
    // Not `%`: on doubles past 2^31 that is a slow library call. Exact for safe integers: see the test.
    const whole = Math.floor(byteOffset / block) * block === byteOffset && Math.floor(bytes / block) * block === bytes;
    return whole || (bdev.byteTypes & (1 << type)) !== 0 ? 0 : EINVAL;
  }

  #single(
    type: number,
    segment: Segment,
    offset: number,
    byteOffset: number,
    bytes: number,
    flags: number,
    cb: BdevIoDone,
    ctx: unknown,
  ): number {
    const rc = this.#check(type, byteOffset, bytes);
    if (rc !== 0) return rc;
    if (!(offset >= 0 && offset + bytes <= segment.sizeBytes)) return EINVAL;
    const io = this.shared.manager.pool.get(this.#rank);
    if (io === null) return ENOMEM;
    io.ownIovs.push(segment, offset, bytes);
    this.#submit(io, type, byteOffset, bytes, flags, cb, ctx);
    return 0;
  }

  #vectored(
    type: number,
    iovs: IoVecs,
    byteOffset: number,
    flags: number,
    cb: BdevIoDone,
    ctx: unknown,
    writeIovs: IoVecs | null = null,
    mdIovs: IoVecs | null = null,
  ): number {
    const rc = this.#check(type, byteOffset, iovs.totalBytes);
    if (rc !== 0) return rc;
    if (!insideSegments(iovs)) return EINVAL;
    const io = this.shared.manager.pool.get(this.#rank);
    if (io === null) return ENOMEM;
    io.iovs = iovs;
    io.writeIovs = writeIovs;
    io.mdIovs = mdIovs;
    this.#submit(io, type, byteOffset, iovs.totalBytes, flags, cb, ctx);
    return 0;
  }

  #noData(type: number, byteOffset: number, bytes: number, flags: number, cb: BdevIoDone, ctx: unknown): number {
    const rc = this.#check(type, byteOffset, bytes);
    if (rc !== 0) return rc;
    const io = this.shared.manager.pool.get(this.#rank);
    if (io === null) return ENOMEM;
    this.#submit(io, type, byteOffset, bytes, flags, cb, ctx);
    return 0;
  }

  /** From the data's places to the disk's. */
  #toDisk(io: BdevIo): void {
    const metadata = this.bdev.metadata as Metadata;
    io.byteOffset = metadata.toDisk(io.byteOffset);
    io.bytes = metadata.toDisk(io.bytes);
    io.flags |= IO_FLAG_BARE;
  }

  #submit(
    io: BdevIo,
    type: number,
    byteOffset: number,
    bytes: number,
    flags: number,
    cb: BdevIoDone,
    ctx: unknown,
  ): void {
    io.type = type;
    io.byteOffset = byteOffset;
    io.bytes = bytes;
    io.flags = flags | this.mark;
    io.connection = this.connection;
    if (this.#bare) this.#toDisk(io);
    io.cb = cb;
    io.ctx = ctx;
    this.shared.begin(io);
  }
}

/** What one who sees the data alone may ask for. */
const BARE_TYPES = ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_WRITE_ZEROES, IO_FLUSH);

function insideSegments(iovs: IoVecs): boolean {
  for (let i = 0; i < iovs.count; i++) {
    const offset = iovs.offset[i];
    if (!(offset >= 0 && offset + iovs.bytes[i] <= (iovs.segment[i] as Segment).sizeBytes)) return false;
  }
  return true;
}
