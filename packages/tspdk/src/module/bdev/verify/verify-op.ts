/**
 * One I/O of a verify disk: the same on both disks, one after the other, and for a read the comparison, a buffer's worth at a time. Reused. Data path, but for what is said when
 * something differs.
 */

import { RESET_RETRIES, RESET_RETRY_US } from '../../../bdev/base-reset.ts';
import type { BdevIo, IoWaitEntry } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import { firstDifference, wholeBlocks } from '../../../bdev/compare.ts';
import { IO_READ } from '../../../bdev/index.ts';
import type { Retry } from '../../../bdev/manager.ts';
import { ECANCELED, EIO, ENODEV, ENOMEM } from '../../../bdev/status.ts';
import type { IoBuf, IoBufWaiter } from '../../../env/iobuf.ts';
import type { VerifyBackend } from './verify-backend.ts';

const ON_FIRST = 0;
const ON_OTHER = 1;
/** A read of the other disk, into the buffer. */
const COMPARING = 2;

export class VerifyOp implements IoWaitEntry, IoBufWaiter, Retry {
  nextWaiter: IoBufWaiter | null = null;
  readonly #backend: VerifyBackend;
  io: BdevIo | null = null;
  /** The channels of the thread that submitted it. */
  #first: BdevChannel | null = null;
  #other: BdevChannel | null = null;
  #step = ON_FIRST;
  #firstStatus = 0;
  #aborted = false;
  /** How often a leg was begun again. */
  #retries = 0;
  #buf: IoBuf | null = null;
  /** Bytes compared, and read to be compared. */
  #done = 0;
  #length = 0;

  constructor(backend: VerifyBackend) {
    this.#backend = backend;
  }

  get bufRank(): number {
    return this.#backend.bufRank;
  }

  set(io: BdevIo, first: BdevChannel, other: BdevChannel): void {
    this.io = io;
    this.#first = first;
    this.#other = other;
    this.#step = ON_FIRST;
    this.#firstStatus = 0;
    this.#aborted = false;
    this.#retries = 0;
    this.#done = 0;
  }

  /** Nothing that overlaps is under way. */
  start(): void {
    if (this.#backend.differs) this.#end(EIO);
    else this.#submit();
  }

  onReady(): void {
    this.#submit();
  }

  onBuf(buf: IoBuf): void {
    this.#buf = buf;
    this.#submit();
  }

  retry(): void {
    if (this.#aborted) this.#end(ECANCELED);
    else this.#submit();
  }

  /** Ends a read that has begun. */
  abort(): boolean {
    this.#aborted = true;
    const channel = this.#channel;
    const { iobuf } = channel.shared.manager.reactor;
    if (iobuf.cancelWait(this) || channel.cancelIoWait(this)) this.#end(ECANCELED);
    else channel.abort(this);
    return true;
  }

  /** Of the leg that is under way. */
  get #channel(): BdevChannel {
    return (this.#step === ON_FIRST ? this.#first : this.#other) as BdevChannel;
  }

  #submit(): void {
    const io = this.io as BdevIo;
    const channel = this.#channel;
    let rc: number;
    if (this.#step !== COMPARING) rc = channel.forward(io, io.byteOffset, onLeg, this);
    else {
      const { iobuf } = channel.shared.manager.reactor;
      this.#buf ??= iobuf.getLargeOf(this.bufRank);
      const buf = this.#buf;
      if (buf === null) {
        iobuf.waitLarge(this);
        return;
      }
      this.#length = Math.min(io.bytes - this.#done, wholeBlocks(buf, channel.bdev.blockSizeBytes));
      rc = channel.read(buf.segment, buf.offset, io.byteOffset + this.#done, this.#length, onLeg, this);
    }
    if (rc === ENOMEM) channel.queueIoWait(this);
    else if (rc !== 0) this.legDone(rc);
  }

  legDone(status: number): void {
    const io = this.io as BdevIo;
    if (this.#aborted) {
      this.#end(ECANCELED);
      return;
    }
    if (status === ECANCELED && this.#retries++ < RESET_RETRIES) {
      // The disk is reset by others, who share what it stands on. Left undone on one, it would be a difference.
      this.#channel.shared.manager.retryAfter(RESET_RETRY_US, this);
      return;
    }
    if (status === ENODEV) {
      // One of the two is going, or what it stands on is, of which this core need not have heard yet: no difference.
      this.#end(ENODEV);
      return;
    }
    if (this.#step === ON_FIRST) {
      this.#firstStatus = status;
      this.#step = io.type === IO_READ ? COMPARING : ON_OTHER;
      this.#submit();
      return;
    }
    if (status !== this.#firstStatus) {
      this.#backend.tellStatuses(io, this.#firstStatus, status);
      this.#end(EIO);
      return;
    }
    if (this.#step === COMPARING && status === 0) {
      const { segment, offset } = this.#buf as IoBuf;
      const at = firstDifference(io.iovs, this.#done, segment.u8, offset, this.#length);
      if (at >= 0) {
        this.#backend.tellData(io.byteOffset + this.#done + at);
        this.#end(EIO);
        return;
      }
      this.#done += this.#length;
      if (this.#done < io.bytes) {
        this.#submit();
        return;
      }
    }
    this.#end(status);
  }

  #end(status: number): void {
    const io = this.io as BdevIo;
    if (this.#buf !== null) (this.#other as BdevChannel).shared.manager.reactor.iobuf.put(this.#buf);
    this.#buf = null;
    this.io = null;
    this.#first = null;
    this.#other = null;
    this.#backend.ended(this);
    io.complete(status);
  }
}

function onLeg(op: unknown, status: number): void {
  (op as VerifyOp).legDone(status);
}
