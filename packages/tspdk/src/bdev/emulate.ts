/**
 * Write zeroes for a disk that cannot: writes from a buffer of zeroes, one after the other.
 */
import { PLACE_EMULATED } from './io-rank.ts';
import { IO_WRITE } from './io-type.ts';
import { LayerChild, LayerIo } from './layer-io.ts';

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
    const { zeroes } = channel.manager;
    this.#piece = Math.min(zeroes.sizeBytes, parent.bytes - this.#done);
    io.ownIovs.push(zeroes, 0, this.#piece);
    this.give(io, this.#child, IO_WRITE, parent.byteOffset + this.#done, this.#piece, parent.flags);
  }

  protected override childDone(): void {
    this.#done += this.#piece;
  }
}
