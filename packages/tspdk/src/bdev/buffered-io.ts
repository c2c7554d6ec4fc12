/**
 * An I/O of the layer that needs a buffer of the pool on the way, and holds one at most. Data path.
 *
 * Why none waits for ever. Whoever submitted it may hold a large buffer until it ends (an NBD read does), and all of the pool may be held that way. What then comes back is
 * the reserve's buffer of its rank (env/iobuf.ts), which needs that who has it waits for lower ranks only. Ranks go by levels of disks: a disk that stands on nothing is of level 0,
 * every other one above all that it stands on. At one level the module (a verify disk) ranks below the layer, and of the layer's I/Os one that is done for
 * another which has a buffer ranks below that. So take who has the buffer of a rank. If it is the layer's, its children are the module's of the same disk, or buffered I/Os that rank
 * below it. If it is the module's, what it waits for are I/Os of disks below. All of these are lower ranks, and a module of level 0 waits for the machine. Those that wait for a
 * range (lba-lock.ts) hold no buffer: a compare-and-write takes its lock first.
 *
 * BdevIos are not counted in: a pool of them that parents alone fill up is not large enough (bdev_set_options). Nor is a remote disk that this application itself exports.
 */
import type { IoBuf, IoBufWaiter } from '../env/iobuf.ts';
import { layerRank } from './buffer-rank.ts';
import { LayerChild, LayerIo } from './layer-io.ts';
import { ECANCELED } from './status.ts';

export abstract class BufferedIo extends LayerIo implements IoBufWaiter {
  nextWaiter: IoBufWaiter | null = null;
  protected buf: IoBuf | null = null;
  #waits = false;

  get bufRank(): number {
    let above = 0;
    for (let { ctx } = this.parent; ctx instanceof LayerChild && ctx.owner.channel === this.channel; ) {
      if (ctx.owner instanceof BufferedIo && ctx.owner.buf !== null) above++;
      ctx = ctx.owner.parent.ctx;
    }
    return layerRank(this.channel.bdev, above);
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
