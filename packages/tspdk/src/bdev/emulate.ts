/**
 * Write zeroes for a disk that cannot: writes from a buffer of zeroes, one after the other, each of whole write units; one that is larger than the buffer has that several times.
 */
import type { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import { PLACE_EMULATED } from './io-rank.ts';
import { IO_WRITE } from './io-type.ts';
import { LayerChild, LayerIo } from './layer-io.ts';
import { unitBlocks } from './module.ts';

export class ZeroWriter extends LayerIo {
  readonly #child = new LayerChild(this);
  #done = 0;
  #piece = 0;

  protected get place(): number {
    return PLACE_EMULATED;
  }

  protected proceed(): void {
    const { parent, channel } = this;
    if (this.#done === parent.bytes || this.status !== 0) {
      this.finish();
      return;
    }
    const io = this.take();
    if (io === null) return;
    this.#piece = Math.min(this.#most(), parent.bytes - this.#done);
    io.iovs = this.#zeroes(channel.manager.zeroes);
    this.give(io, this.#child, IO_WRITE, parent.byteOffset + this.#done, this.#piece, parent.flags);
  }

  /** Of one write. */
  #most(): number {
    const { blockSizeBytes, limits, manager } = this.channel.bdev;
    const unit = unitBlocks(limits) * blockSizeBytes;
    return Math.max(1, Math.floor(manager.zeroes.sizeBytes / unit)) * unit;
  }

  /** As many as the piece is long. */
  #zeroes(zeroes: Segment): IoVecs {
    const child = this.#child;
    child.iovs.reset();
    child.widen(Math.ceil(this.#piece / zeroes.sizeBytes));
    for (let at = 0; at < this.#piece; at += zeroes.sizeBytes) {
      child.iovs.push(zeroes, 0, Math.min(zeroes.sizeBytes, this.#piece - at));
    }
    return child.iovs;
  }

  protected override childDone(): void {
    this.#done += this.#piece;
  }
}
