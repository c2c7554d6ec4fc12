/**
 * Copy within a disk that cannot: a piece, of whole write units, is read into a buffer of the pool and written to where it goes (SPDK: spdk_bdev_copy_blocks). Ranges that overlap are
 * refused before, as by SPDK's and NVMe's copies nothing is said of them.
 */
import { BufferedIo } from './buffered-io.ts';
import { wholeBlocks } from './compare.ts';
import { PLACE_EMULATED } from './io-rank.ts';
import { IO_READ, IO_WRITE } from './io-type.ts';
import { LayerChild } from './layer-io.ts';
import { unitBlocks } from './module.ts';

export class CopyIo extends BufferedIo {
  readonly #child = new LayerChild(this);
  #writing = false;
  #done = 0;
  #length = 0;

  protected get place(): number {
    return PLACE_EMULATED;
  }

  protected proceed(): void {
    const { parent, channel } = this;
    if (this.#done === parent.bytes || this.status !== 0) {
      this.finish();
      return;
    }
    const buf = this.takeBuffer();
    if (buf === null) return;
    const io = this.take();
    if (io === null) return;
    if (!this.#writing) {
      const { blockSizeBytes, limits } = channel.bdev;
      this.#length = Math.min(parent.bytes - this.#done, wholeBlocks(buf, unitBlocks(limits) * blockSizeBytes));
    }
    io.ownIovs.push(buf.segment, buf.offset, this.#length);
    const from = this.#writing ? parent.byteOffset : parent.sourceOffset;
    this.give(io, this.#child, this.#writing ? IO_WRITE : IO_READ, from + this.#done, this.#length, parent.flags);
  }

  protected override childDone(): void {
    if (this.#writing) this.#done += this.#length;
    this.#writing = !this.#writing;
  }
}
