/**
 * An I/O of the layer that needs a buffer of the pool on the way, and holds one at most. Data path.
 *
 * Whoever submitted it may hold a large buffer until it ends (an NBD read does), and all of the pool may be held that way. What then comes back is the reserve's of its rank: io-rank.ts says why.
 * Those that wait for a range (lba-lock.ts) hold no buffer: a compare-and-write takes its lock first.
 */
import type { IoBuf, IoBufWaiter } from '../env/iobuf.ts';
import { bufferRank } from './io-rank.ts';
import { LayerIo } from './layer-io.ts';
import { ECANCELED } from './status.ts';

export abstract class BufferedIo extends LayerIo implements IoBufWaiter {
  nextWaiter: IoBufWaiter | null = null;
  protected buf: IoBuf | null = null;
  #waits = false;

  get bufRank(): number {
    return bufferRank(this.channel.bdev, this.place);
  }

  /** A large buffer, the same until it is given back; null: there is none, and `proceed` is called when there is. */
  protected takeBuffer(): IoBuf | null {
    if (this.buf !== null || this.#waits) return this.buf;
    const { iobuf } = this.channel.manager.reactor;
    this.buf = iobuf.getLargeOf(this.bufRank);
    if (this.buf === null) {
      this.#waits = true;
      // It may come at once, and `proceed` has then been called.
      iobuf.waitLarge(this);
      return null;
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
