/**
 * I/Os in pieces, as a disk wants them: not across its boundaries, not larger than it takes, not in more or longer pieces of memory
 * (SPDK: bdev_io_should_split, bdev_rw_split).
 *
 * What a disk wants of an I/O, its memory's place too (aligned-io.ts), is put together once (`SplitRules`), so that an I/O of a disk without wishes costs one test of a mask. The pieces of one parent
 * are under way together, up to `limits.bdev_split_children`.
 */

import type { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import type { Segment } from '../env/segment.ts';
import type { BdevIo } from './bdev-io.ts';
import { PLACE_SPLIT } from './io-rank.ts';
import {
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
} from './io-type.ts';
import { LayerChild, LayerIo } from './layer-io.ts';
import type { Metadata } from './metadata.ts';
import type { BdevLimits } from './module.ts';
import { sliceIoVecs } from './slice.ts';
import { EINVAL } from './status.ts';

/** Types whose memory is brought where the disk wants it. */
const ALIGNED_TYPES = ioTypes(IO_READ, IO_WRITE);

/** What a disk wants of an I/O, in bytes; Infinity says nothing. */
export class SplitRules {
  /** Mask of `1 << IO_*`: types that may have to be split. One that cannot be is then the layer's: compare-and-write. */
  readonly types: number;
  readonly blockBytes: number;
  /** An I/O crosses no multiple of it. */
  readonly readBoundary: number;
  readonly writeBoundary: number;
  /** A write begins and ends at a multiple of `writeBoundary`. */
  readonly wholeUnits: boolean;
  readonly rwBytesMax: number;
  readonly segmentsMax: number;
  readonly segmentBytesMax: number;
  readonly unmapBytesMax: number;
  readonly writeZeroesBytesMax: number;
  readonly copyBytesMax: number;
  /** Memory begins at multiples of one more than this. */
  readonly alignMask: number;
  readonly #bufBytes: number;

  /**
   * @param bufBytes of a buffer through which what lies in too many pieces may go
   * @param piecesMax of the way to the disk
   */
  constructor(wants: BdevLimits, blockBytes: number, bufBytes: number, piecesMax = Number.POSITIVE_INFINITY) {
    this.#bufBytes = bufBytes;
    const bytes = (blocks: number) => (blocks > 0 ? blocks * blockBytes : Number.POSITIVE_INFINITY);
    const boundary = wants.splitOnOptimalIoBoundary ? bytes(wants.optimalIoBoundaryBlocks) : Number.POSITIVE_INFINITY;
    this.blockBytes = blockBytes;
    this.readBoundary = boundary;
    this.wholeUnits = wants.splitOnWriteUnit && wants.writeUnitBlocks > 0;
    this.writeBoundary = this.wholeUnits ? bytes(wants.writeUnitBlocks) : boundary;
    this.rwBytesMax = bytes(wants.maxRwBlocks);
    this.segmentsMax = Math.min(piecesMax, wants.maxSegments > 0 ? wants.maxSegments : Number.POSITIVE_INFINITY);
    this.segmentBytesMax = wants.maxSegmentBytes > 0 ? wants.maxSegmentBytes : Number.POSITIVE_INFINITY;
    this.unmapBytesMax = bytes(wants.maxUnmapBlocks);
    this.writeZeroesBytesMax = bytes(wants.maxWriteZeroesBlocks);
    this.copyBytesMax = bytes(wants.maxCopyBlocks);
    this.alignMask = wants.requiredAlignmentBytes > 1 ? wants.requiredAlignmentBytes - 1 : 0;
    let types = this.alignMask > 0 ? ALIGNED_TYPES : 0;
    const memory = Math.min(this.rwBytesMax, this.segmentsMax, this.segmentBytesMax);
    if (Math.min(memory, this.readBoundary) !== Number.POSITIVE_INFINITY) {
      types |= ioTypes(IO_READ, IO_COMPARE);
    }
    if (Math.min(memory, this.writeBoundary) !== Number.POSITIVE_INFINITY) {
      types |= ioTypes(IO_WRITE, IO_COMPARE_AND_WRITE);
    }
    if (this.unmapBytesMax !== Number.POSITIVE_INFINITY) types |= 1 << IO_UNMAP;
    if (this.writeZeroesBytesMax !== Number.POSITIVE_INFINITY) types |= 1 << IO_WRITE_ZEROES;
    if (this.copyBytesMax !== Number.POSITIVE_INFINITY) types |= 1 << IO_COPY;
    this.types = types;
  }

  /** The most bytes that may begin at `at`. */
  pieceMax(type: number, at: number): number {
    if (type === IO_UNMAP) return this.unmapBytesMax;
    if (type === IO_WRITE_ZEROES) return this.writeZeroesBytesMax;
    if (type === IO_COPY) return this.copyBytesMax;
    const boundary = type === IO_WRITE ? this.writeBoundary : this.readBoundary;
    if (boundary === Number.POSITIVE_INFINITY) return this.rwBytesMax;
    const left = boundary - (at - Math.floor(at / boundary) * boundary);
    return left < this.rwBytesMax ? left : this.rwBytesMax;
  }

  /** Whether the disk would not take `io` as it is. */
  mustSplit(io: BdevIo): boolean {
    if ((this.types & (1 << io.type)) === 0) return false;
    return (
      this.inPieces(io) || (this.alignMask > 0 && (ALIGNED_TYPES & (1 << io.type)) !== 0 && !this.#aligned(io.iovs))
    );
  }

  /** Where the memory lies. Integers: the low bits of an address are all that counts. */
  #aligned(iovs: IoVecs): boolean {
    const last = iovs.count - 1;
    let bits = 0;
    for (let i = 0; i <= last; i++) {
      bits |= ((iovs.segment[i] as Segment).address | 0) + (iovs.offset[i] | 0);
      if (i < last) bits |= iovs.bytes[i];
    }
    return (bits & this.alignMask) === 0;
  }

  /** The least of an I/O. */
  leastBytes(type: number): number {
    return type === IO_WRITE && this.wholeUnits ? this.writeBoundary : this.blockBytes;
  }

  /** The same, if a buffer and as many pieces of memory as the disk takes hold it; else 0. */
  gatheredBytes(type: number): number {
    const least = this.leastBytes(type);
    return least <= Math.min(this.#bufBytes, this.segmentsMax * this.segmentBytesMax, this.rwBytesMax) ? least : 0;
  }

  /** Whether `io` is as small as can be and in more pieces of memory than the disk takes, so that it has to go through one. */
  isScattered(io: BdevIo): boolean {
    return (
      (ALIGNED_TYPES & (1 << io.type)) !== 0 &&
      io.iovs.count > this.segmentsMax &&
      io.bytes === this.gatheredBytes(io.type) &&
      io.bytes <= this.pieceMax(io.type, io.byteOffset)
    );
  }

  /** Whether `io`, of one of `types`, is more than the disk takes at once. */
  inPieces(io: BdevIo): boolean {
    if (io.bytes > this.pieceMax(io.type, io.byteOffset)) return true;
    if (io.type === IO_WRITE && this.wholeUnits && io.bytes % this.writeBoundary !== 0) return true;
    const { iovs } = io;
    if (iovs.count > this.segmentsMax) return true;
    if (this.segmentBytesMax === Number.POSITIVE_INFINITY) return false;
    for (let i = 0; i < iovs.count; i++) if (iovs.bytes[i] > this.segmentBytesMax) return true;
    return false;
  }
}

/** One I/O in pieces. Reused by its manager. */
export class SplitIo extends LayerIo {
  readonly #children: LayerChild[] = [];
  readonly #free: LayerChild[] = [];
  /** Bytes of the parent that have been handed out. */
  #at = 0;
  /** Where they end in its memory. */
  #piece = 0;
  #pieceDone = 0;

  protected get place(): number {
    return PLACE_SPLIT;
  }

  protected proceed(): void {
    const { parent } = this;
    const rules = this.channel.bdev.split;
    if (this.#at === 0 && this.#badUnits(rules)) this.status = EINVAL;
    while (this.status === 0 && this.#at < parent.bytes && this.outstanding < limits.bdev_split_children) {
      const io = this.take();
      if (io === null) return;
      const child = this.#free.pop() ?? this.#newChild();
      const at = parent.byteOffset + this.#at;
      let bytes = Math.min(parent.bytes - this.#at, rules.pieceMax(parent.type, at));
      if (parent.iovs.count > 0) {
        bytes = this.#gather(child, bytes, rules) || this.#gatherScattered(child, rules);
        if (bytes === 0) {
          this.channel.manager.pool.put(io);
          this.#free.push(child);
          this.status = EINVAL;
          break;
        }
        io.iovs = child.iovs;
      }
      if (parent.type === IO_COPY) io.sourceOffset = parent.sourceOffset + this.#at;
      if (parent.mdIovs !== null) io.mdIovs = this.#metadataOf(child, bytes);
      this.#at += bytes;
      this.give(io, child, parent.type, at, bytes, parent.flags);
    }
    if (this.outstanding === 0 && (this.status !== 0 || this.#at === parent.bytes)) this.finish();
  }

  #badUnits({ wholeUnits, writeBoundary }: SplitRules): boolean {
    const { type, byteOffset, bytes } = this.parent;
    return wholeUnits && type === IO_WRITE && (byteOffset % writeBoundary !== 0 || bytes % writeBoundary !== 0);
  }

  /** The metadata of the next `bytes`, in the child's list. A list too short has the disk refuse it. */
  #metadataOf(child: LayerChild, bytes: number): IoVecs {
    const { blockBytes, format } = this.channel.bdev.metadata as Metadata;
    const from = (this.#at / blockBytes) * format.bytes;
    sliceIoVecs(this.parent.mdIovs as IoVecs, from, (bytes / blockBytes) * format.bytes, child.mdIovs);
    return child.mdIovs;
  }

  #newChild(): LayerChild {
    const child = new LayerChild(this);
    this.#children.push(child);
    return child;
  }

  /** The parent's next memory, up to `bytes`, in whole blocks and as many pieces as the disk takes: into the child's list. Returns how much; 0: not one block, or unit. */
  #gather(child: LayerChild, bytes: number, rules: SplitRules): number {
    // A unit goes whole, in however many pieces.
    if (rules.wholeUnits && this.parent.type === IO_WRITE) {
      child.widen(Math.min(rules.segmentsMax, this.#piecesOf(bytes, rules)));
    }
    return this.#gatherUpTo(Math.min(rules.segmentsMax, child.iovs.capacity), child, bytes, rules);
  }

  /** Where not one block is in so few pieces: one in all that it has, which then goes through a buffer (carry-out.ts). Returns how much; 0: it cannot. */
  #gatherScattered(child: LayerChild, rules: SplitRules): number {
    const { type } = this.parent;
    const bytes = (ALIGNED_TYPES & (1 << type)) !== 0 ? rules.gatheredBytes(type) : 0;
    if (bytes === 0) return 0;
    child.widen(this.#piecesOf(bytes, rules));
    return this.#gatherUpTo(child.iovs.capacity, child, bytes, rules);
  }

  /** The most that the next `bytes` are cut into. */
  #piecesOf(bytes: number, { segmentBytesMax }: SplitRules): number {
    return Math.min(bytes, this.parent.iovs.count - this.#piece + Math.ceil(bytes / segmentBytesMax));
  }

  #gatherUpTo(most: number, child: LayerChild, bytes: number, rules: SplitRules): number {
    const { iovs } = this.parent;
    const { iovs: out } = child;
    out.reset();
    const least = rules.leastBytes(this.parent.type);
    let piece = this.#piece;
    let done = this.#pieceDone;
    // Where the last whole block ended.
    let whole = 0;
    let wholePiece = piece;
    let wholeDone = done;
    while (out.count < most && out.totalBytes < bytes) {
      const length = Math.min(iovs.bytes[piece] - done, bytes - out.totalBytes, rules.segmentBytesMax);
      out.push(iovs.segment[piece] as Segment, iovs.offset[piece] + done, length);
      done += length;
      const over = out.totalBytes % rules.blockBytes;
      if (length > over) {
        whole = out.totalBytes - over;
        wholePiece = piece;
        wholeDone = done - over;
      }
      if (done === iovs.bytes[piece]) {
        piece++;
        done = 0;
      }
    }
    if (whole < least) whole = 0;
    cut(child, whole);
    if (whole === 0) return 0;
    this.#piece = wholePiece;
    this.#pieceDone = wholeDone;
    if (this.#piece < iovs.count && this.#pieceDone === iovs.bytes[this.#piece]) {
      this.#piece++;
      this.#pieceDone = 0;
    }
    return whole;
  }

  protected override childEnded(child: LayerChild): void {
    child.iovs.reset();
    this.#free.push(child);
  }

  protected override finish(): void {
    this.#at = 0;
    this.#piece = 0;
    this.#pieceDone = 0;
    const { manager } = this.channel;
    super.finish();
    manager.splits.push(this);
  }
}

/** Drops what is past `bytes` from the child's list. */
function cut({ iovs }: LayerChild, bytes: number): void {
  while (iovs.totalBytes > bytes) {
    const last = iovs.count - 1;
    const over = Math.min(iovs.totalBytes - bytes, iovs.bytes[last]);
    iovs.bytes[last] -= over;
    iovs.totalBytes -= over;
    if (iovs.bytes[last] > 0) return;
    iovs.segment[last] = null;
    iovs.count = last;
  }
}
