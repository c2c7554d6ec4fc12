/**
 * Copy within a disk that cannot: a piece is read into a buffer of the pool and written to where it goes (SPDK: spdk_bdev_copy_blocks). Ranges that overlap are
 * refused before, as by SPDK's and NVMe's copies nothing is said of them.
 */
import type { IoBuf, IoBufWaiter } from '../env/iobuf.ts';
import { wholeBlocks } from './compare.ts';
import { IO_READ, IO_WRITE } from './io-type.ts';
import { LayerChild, LayerIo } from './layer-io.ts';

export class CopyIo extends LayerIo implements IoBufWaiter {
  nextWaiter: IoBufWaiter | null = null;
  readonly #child = new LayerChild(this);
  #buf: IoBuf | null = null;
  #wantsBuf = false;
  #writing = false;
  #done = 0;
  #length = 0;

  protected proceed(): void {
    const { parent, channel } = this;
    if (this.#done === parent.bytes || this.status !== 0) {
      this.finish();
      return;
    }
    if (this.#wantsBuf) return;
    const { iobuf } = channel.manager.reactor;
    this.#buf ??= iobuf.getLarge();
    if (this.#buf === null) {
      this.#wantsBuf = true;
      iobuf.waitLarge(this);
      return;
    }
    const io = this.take();
    if (io === null) return;
    if (!this.#writing) {
      this.#length = Math.min(parent.bytes - this.#done, wholeBlocks(this.#buf, channel.bdev.blockSizeBytes));
    }
    io.ownIovs.push(this.#buf.segment, this.#buf.offset, this.#length);
    const from = this.#writing ? parent.byteOffset : parent.sourceOffset;
    this.give(io, this.#child, this.#writing ? IO_WRITE : IO_READ, from + this.#done, this.#length, parent.flags);
  }

  onBuf(buf: IoBuf): void {
    this.#wantsBuf = false;
    this.#buf = buf;
    this.proceed();
  }

  protected override childDone(): void {
    if (this.#writing) this.#done += this.#length;
    this.#writing = !this.#writing;
  }

  protected override finish(): void {
    if (this.#buf !== null) this.channel.manager.reactor.iobuf.put(this.#buf);
    this.#buf = null;
    super.finish();
  }
}
