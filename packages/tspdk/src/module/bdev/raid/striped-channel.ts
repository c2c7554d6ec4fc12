/**
 * raid0 and concat: each block is on one member. The layer splits reads and writes at strips (the disk's optimal I/O boundary), so each goes whole to one
 * member; what carries no data goes to every member that has a part of its range, a flush to all of them. Data path.
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import type { Extents } from '../../../bdev/extents.ts';
import { IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE } from '../../../bdev/index.ts';
import { ECANCELED, ENODEV } from '../../../bdev/status.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import type { RaidBackend } from './raid-backend.ts';
import { NO_MEMBER, RaidChannel, raidIoDone, raidLegDone } from './raid-channel.ts';
import { type ConcatMap, type Raid0Map, RaidRange } from './raid-map.ts';
import type { RaidOp } from './raid-op.ts';

export class StripedChannel extends RaidChannel {
  readonly #map: Raid0Map | ConcatMap;
  readonly #range = new RaidRange();
  readonly #blockBytes: number;

  constructor(backend: RaidBackend, map: Raid0Map | ConcatMap) {
    super(backend);
    this.#map = map;
    this.#blockBytes = backend.blockBytes;
  }

  submit(io: BdevIo): void {
    if (io.type !== IO_READ && io.type !== IO_WRITE) {
      this.proceed(this.take(io));
      return;
    }
    const range = this.#range;
    this.#mapBytes(io.byteOffset, io.bytes);
    const member = this.members[range.member];
    const rc = member === null ? NO_MEMBER : member.forward(io, this.#memberByte(), raidIoDone, io);
    if (rc !== 0) io.complete(rc);
  }

  /** The first part of a range of bytes, up to the end of its strip or member. */
  #mapBytes(byteOffset: number, bytes: number): void {
    this.#map.map(byteOffset / this.#blockBytes, bytes / this.#blockBytes, this.#range);
  }

  /** The byte of the member that the range starts at. */
  #memberByte(): number {
    const { member, lba } = this.#range;
    return this.backend.offsets[member] + lba * this.#blockBytes;
  }

  protected submitLeg(op: RaidOp, slot: number, member: BdevChannel | null): number {
    if (member === null) return NO_MEMBER;
    const io = op.io as BdevIo;
    const range = this.#range;
    if (io.type === IO_FLUSH) return this.flushLeg(op, slot, member);
    this.#map.memberRange(io.byteOffset / this.#blockBytes, io.bytes / this.#blockBytes, slot, range);
    if (range.blocks === 0) return 0;
    const at = this.#memberByte();
    const bytes = range.blocks * this.#blockBytes;
    const leg = op.legs[slot];
    const unmap = io.type === IO_UNMAP;
    return this.begun(
      op,
      slot,
      unmap ? member.unmap(at, bytes, raidLegDone, leg) : member.writeZeroes(at, bytes, io.flags, raidLegDone, leg),
    );
  }

  protected ended(op: RaidOp): void {
    this.finish(op, op.aborted && op.status === 0 ? ECANCELED : op.status);
  }

  abort(io: BdevIo): boolean {
    const op = io.driver as RaidOp | null;
    if (op === null) {
      this.#mapBytes(io.byteOffset, io.bytes);
      return (this.members[this.#range.member]?.abort(io) ?? 0) > 0;
    }
    this.abortOp(op);
    if (this.cancelWait(op) && op.pending === 0) this.ended(op);
    return true;
  }

  /** For writing within one strip only: what has been written is then said to one member. */
  zcopy(byteOffset: number, bytes: number, out: IoVecs, write: boolean): boolean {
    const { count, totalBytes } = out;
    for (let done = 0; done < bytes; done += this.#range.blocks * this.#blockBytes) {
      this.#mapBytes(byteOffset + done, bytes - done);
      const piece = this.#range.blocks * this.#blockBytes;
      if (write && piece !== bytes) return false;
      if (this.members[this.#range.member]?.zcopy(this.#memberByte(), piece, out, write) === true) continue;
      for (let i = count; i < out.count; i++) out.segment[i] = null;
      out.count = count;
      out.totalBytes = totalBytes;
      return false;
    }
    return true;
  }

  zcopyWritten(byteOffset: number, bytes: number): void {
    this.#mapBytes(byteOffset, this.#blockBytes);
    this.members[this.#range.member]?.zcopyWritten(this.#memberByte(), bytes);
  }

  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    for (let done = 0; done < bytes; ) {
      this.#mapBytes(byteOffset + done, bytes - done);
      const want = this.#range.blocks * this.#blockBytes;
      const before = out.totalBytes;
      const rc = this.members[this.#range.member]?.blockStatus(this.#memberByte(), want, out) ?? ENODEV;
      // The first answer decides; what a later member cannot say is asked for again.
      if (rc !== 0) return done === 0 ? rc : 0;
      if (out.totalBytes - before !== want) return 0;
      done += want;
    }
    return 0;
  }
}
