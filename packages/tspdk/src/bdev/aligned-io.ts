/**
 * A read or write of a disk that wants its memory at multiples of something, whose memory is not, or of a block that lies in more pieces than the disk takes: through a buffer of the pool, piece after
 * piece (SPDK: _bdev_io_set_bounce_buf; it refuses the latter).
 * What has to be split has been before (carry-out.ts), so that a piece is no more than the disk takes; and the buffer is given to it in segments that it takes. Nothing below is split,
 * which would wait for a higher rank (io-rank.ts). Data path.
 */
import type { IoBuf } from '../env/iobuf.ts';
import { IovCursor } from '../env/iov-cursor.ts';
import type { BdevIo } from './bdev-io.ts';
import { BufferedIo } from './buffered-io.ts';
import { wholeBlocks } from './compare.ts';
import { PLACE_ALIGNED } from './io-rank.ts';
import { IO_WRITE } from './io-type.ts';
import { LayerChild } from './layer-io.ts';
import type { Metadata } from './metadata.ts';
import { unitBlocks } from './module.ts';
import { sliceIoVecs } from './slice.ts';

export class AlignedIo extends BufferedIo {
  readonly #child = new LayerChild(this);
  readonly #cursor = new IovCursor();
  /** Bytes that are done, and of the piece under way. */
  #done = 0;
  #length = 0;

  protected get place(): number {
    return PLACE_ALIGNED;
  }

  protected proceed(): void {
    const { parent } = this;
    if (this.status !== 0 || this.#done === parent.bytes) {
      this.finish();
      return;
    }
    const buf = this.takeBuffer();
    if (buf === null) return;
    const io = this.take();
    if (io === null) return;
    if (this.#done === 0) this.#cursor.start(parent.iovs);
    this.#length = this.#lengthIn(buf);
    if (parent.type === IO_WRITE) this.#cursor.copy(false, buf.segment, buf.offset, this.#length);
    this.#giveMemory(io, buf);
    if (parent.mdIovs !== null) this.#giveMetadata(io);
    this.give(io, this.#child, parent.type, parent.byteOffset + this.#done, this.#length, parent.flags);
  }

  /** Of the next piece: all that is left, or as many whole blocks, or units, as the buffer holds. */
  #lengthIn(buf: IoBuf): number {
    const { parent } = this;
    const left = parent.bytes - this.#done;
    if (left <= buf.sizeBytes) return left;
    const { blockSizeBytes, limits } = this.channel.bdev;
    return wholeBlocks(buf, parent.type === IO_WRITE ? unitBlocks(limits) * blockSizeBytes : blockSizeBytes);
  }

  /** The piece in the buffer, in segments of the disk's. They are not too many: the parent's own were not, of as many bytes or more, or it is the disk's least I/O, which they hold (SplitRules.gatheredBytes). */
  #giveMemory(io: BdevIo, buf: IoBuf): void {
    const most = this.channel.bdev.split.segmentBytesMax;
    const length = this.#length;
    if (length > most) {
      this.#child.widen(Math.ceil(length / most));
      io.iovs = this.#child.iovs;
      io.iovs.reset();
    }
    for (let at = 0; at < length; at += most) io.iovs.push(buf.segment, buf.offset + at, Math.min(most, length - at));
  }

  /** That of the piece, where it lies. */
  #giveMetadata(io: BdevIo): void {
    const { blockBytes, format } = this.channel.bdev.metadata as Metadata;
    const from = (this.#done / blockBytes) * format.bytes;
    io.mdIovs = this.#child.mdIovs;
    sliceIoVecs(
      this.parent.mdIovs as NonNullable<BdevIo['mdIovs']>,
      from,
      (this.#length / blockBytes) * format.bytes,
      io.mdIovs,
    );
  }

  protected override childDone(): void {
    const buf = this.buf as IoBuf;
    if (this.parent.type !== IO_WRITE) this.#cursor.copy(true, buf.segment, buf.offset, this.#length);
    this.#cursor.advance(this.#length);
    this.#done += this.#length;
  }

  protected override finish(): void {
    this.#cursor.end();
    super.finish();
  }
}
