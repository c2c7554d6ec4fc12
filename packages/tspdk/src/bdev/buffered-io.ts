/** An I/O of the layer that needs a buffer of the pool on the way, and holds one at most. Data path. */
import type { IoBuf, IoBufWaiter } from '../env/iobuf.ts';
import { LayerIo } from './layer-io.ts';
import { ECANCELED } from './status.ts';

export abstract class BufferedIo extends LayerIo implements IoBufWaiter {
  nextWaiter: IoBufWaiter | null = null;
  protected buf: IoBuf | null = null;
  #waits = false;

  /** A large buffer, the same until it is given back; null: there is none, and `proceed` is called when there is. */
  protected takeBuffer(): IoBuf | null {
    if (this.buf !== null || this.#waits) return this.buf;
    const { iobuf } = this.channel.manager.reactor;
    this.buf = iobuf.getLarge();
    if (this.buf === null) {
      this.#waits = true;
      iobuf.waitLarge(this);
    }
    return this.buf;
  }

  onBuf(buf: IoBuf): void {
    this.#waits = false;
    this.buf = buf;
    this.proceed();
  }

  /** What waits for a buffer has nothing under way: it ends now. */
  override abort(): boolean {
    if (!this.#waits) return super.abort();
    this.channel.manager.reactor.iobuf.cancelWait(this);
    this.#waits = false;
    this.status = ECANCELED;
    this.finish();
    return true;
  }

  protected giveBufferBack(): void {
    if (this.buf !== null) this.channel.manager.reactor.iobuf.put(this.buf);
    this.buf = null;
  }

  protected override finish(): void {
    this.giveBufferBack();
    super.finish();
  }
}
