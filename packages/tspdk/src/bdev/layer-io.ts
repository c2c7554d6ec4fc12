/**
 * An I/O that the layer itself carries out, by others: in pieces (split.ts), through other memory (aligned-io.ts), with its metadata looked at (protected-io.ts), or as what
 * the module does have (emulate.ts, compare.ts, copy.ts).
 *
 * The parent is the user's BdevIo; it counts as outstanding all the time, so that resets, removal and locks wait for it. Its children are BdevIos of their own, submitted
 * below the gates (gates.ts): what held the parent back does not hold them back again. They are what statistics count, as with SPDK. The
 * first failure ends it: nothing more is started, and the parent completes when the last child has. Data path; objects are made per parent, but for splits,
 * which keep theirs.
 */
import { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import { type BdevIo, IO_QUEUED, IO_SUBMITTED, type IoWaitEntry } from './bdev-io.ts';
import { ioRank } from './io-rank.ts';
import { IO_FLAG_EMULATED, IO_FLAG_PART, IO_FLAGS_KEPT } from './io-type.ts';
import { ECANCELED } from './status.ts';
import type { ThreadChannel } from './thread-channel.ts';

/** The context of one child, with the memory that it may need. */
export class LayerChild {
  readonly owner: LayerIo;
  iovs = new IoVecs(limits.bdev_child_iovecs);
  #mdIovs: IoVecs | null = null;

  constructor(owner: LayerIo) {
    this.owner = owner;
  }

  /** Has `iovs`, which is empty, hold so many pieces. */
  widen(pieces: number): void {
    if (this.iovs.capacity < pieces) this.iovs = new IoVecs(pieces);
  }

  /** For metadata, where the disk has it in memory of its own. */
  get mdIovs(): IoVecs {
    this.#mdIovs ??= new IoVecs(limits.bdev_child_iovecs);
    return this.#mdIovs;
  }
}

export abstract class LayerIo implements IoWaitEntry {
  channel!: ThreadChannel;
  parent!: BdevIo;
  /** Children under way. */
  outstanding = 0;
  /** Of the first that failed. */
  status = 0;
  #waiting = false;

  /** Takes `parent` over. */
  begin(channel: ThreadChannel, parent: BdevIo): void {
    this.channel = channel;
    this.parent = parent;
    this.outstanding = 0;
    this.status = 0;
    parent.driver = this;
    parent.flags |= IO_FLAG_EMULATED;
    channel.beginEmulated(parent);
    // What fails at once must not reach the submitter inside its own call.
    channel.manager.depth++;
    try {
      this.proceed();
    } finally {
      channel.manager.depth--;
    }
  }

  /** Starts what can be started now; `finish` when there is nothing left and nothing under way. */
  protected abstract proceed(): void;

  /** Of its children: PLACE_*. */
  protected abstract get place(): number;

  /** What children have in their flags beside their parent's. */
  protected get childFlags(): number {
    return 0;
  }

  /** A child has completed with 0; its BdevIo is gone. Then `proceed` is called. */
  protected childDone(_child: LayerChild): void {}

  /** A child has ended, however. */
  protected childEnded(_child: LayerChild): void {}

  onReady(): void {
    this.#waiting = false;
    this.proceed();
  }

  /** A BdevIo for a child. Null: there is none, and `proceed` is called when a child completes or there is one. */
  protected take(): BdevIo | null {
    const { bdev, manager, thread } = this.channel;
    const rank = ioRank(bdev, this.place);
    const io = manager.pool.get(rank);
    if (io === null && this.outstanding === 0 && !this.#waiting) {
      this.#waiting = true;
      manager.pool.wait(this, thread, rank);
    }
    return io;
  }

  /** Submits `io`, whose memory is set, as `child`. */
  protected give(io: BdevIo, child: LayerChild, type: number, byteOffset: number, bytes: number, flags: number): void {
    io.type = type;
    io.byteOffset = byteOffset;
    io.bytes = bytes;
    io.flags = (flags & IO_FLAGS_KEPT) | (this.parent.flags & IO_FLAG_PART) | this.childFlags;
    this.adopt(io, child);
    this.channel.stamp(io);
    this.channel.perform(io);
  }

  /** `io` is about to be under way, as `child`. */
  protected adopt(io: BdevIo, child: LayerChild): void {
    io.connection = this.parent.connection;
    io.cb = onChild;
    io.ctx = child;
    this.outstanding++;
  }

  ended(child: LayerChild, status: number): void {
    this.outstanding--;
    this.childEnded(child);
    if (status === 0 && this.status === 0) this.childDone(child);
    else if (this.status === 0) this.status = status;
    if (this.status === 0) this.proceed();
    else if (this.outstanding === 0) this.finish();
  }

  /** Completes the parent; nothing is under way. */
  protected finish(): void {
    const { parent } = this;
    parent.driver = null;
    this.channel.endEmulated(parent, this.status);
  }

  /** Starts nothing more, and ends what it can. */
  abort(): boolean {
    if (this.status === 0) this.status = ECANCELED;
    const { pool } = this.channel.manager;
    if (this.#waiting && pool.cancelWait(this)) {
      this.#waiting = false;
      this.finish();
      return true;
    }
    const { channel } = this;
    // What ends inside an abort is reported later: this object may then be another I/O's.
    channel.manager.depth++;
    try {
      for (const io of pool.all) {
        if (io.state !== IO_SUBMITTED && io.state !== IO_QUEUED) continue;
        if (io.sink === channel && (io.ctx as LayerChild)?.owner === this) channel.abort(io);
      }
    } finally {
      channel.manager.depth--;
    }
    return true;
  }
}

/** An I/O that the layer has made of another. */
export function isChild(io: BdevIo): boolean {
  return io.cb === onChild;
}

function onChild(ctx: unknown, status: number): void {
  (ctx as LayerChild).owner.ended(ctx as LayerChild, status);
}
