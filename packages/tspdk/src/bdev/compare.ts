/**
 * Compare, and compare-and-write, for a disk that has neither: the range is read into a buffer of the pool a piece at a time and compared with the caller's memory
 * (SPDK: bdev_compare_do_read, spdk_bdev_comparev_and_writev_blocks). What differs completes with -EILSEQ, as SPDK's miscompare does.
 *
 * Compare-and-write happens as one: nothing else changes the range in between, on any core. So it holds a lock of the range (lba-lock.ts).
 */
import type { IoBuf } from '../env/iobuf.ts';
import type { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import { BufferedIo } from './buffered-io.ts';
import { PLACE_EMULATED } from './io-rank.ts';
import { IO_COMPARE_AND_WRITE, IO_READ, IO_WRITE } from './io-type.ts';
import { LayerChild } from './layer-io.ts';
import { type LbaLock, lockRange } from './lba-lock.ts';
import { ECANCELED, EILSEQ } from './status.ts';

const START = 0;
const LOCKING = 1;
const COMPARING = 2;
const WRITING = 3;
const UNLOCKING = 4;
/** Aborted before it had its lock. */
const GIVEN_UP = 5;

export class CompareIo extends BufferedIo {
  readonly #child = new LayerChild(this);
  #stage = START;
  #lock: LbaLock | null = null;
  /** Bytes compared, or written. */
  #done = 0;
  #length = 0;

  protected get place(): number {
    return PLACE_EMULATED;
  }

  protected proceed(): void {
    if (this.#stage === START) {
      if (this.parent.type === IO_COMPARE_AND_WRITE) {
        this.#stage = LOCKING;
        this.#takeLock();
        return;
      }
      this.#stage = COMPARING;
    }
    if (this.#stage === COMPARING) this.#compareNext();
    if (this.#stage === WRITING) this.#writeNext();
  }

  #takeLock(): void {
    const { channel, parent } = this;
    const granted = (status: number): void => {
      if (this.#stage === GIVEN_UP) {
        if (status === 0) this.#lock?.release();
        return;
      }
      this.#stage = COMPARING;
      if (status !== 0) {
        this.#lock = null;
        this.status = status;
      }
      if (this.status === 0) this.proceed();
      else this.finish();
    };
    this.#lock = lockRange(channel.bdev, parent.byteOffset, parent.bytes, false, granted, channel);
  }

  /** What waits for its lock has nothing under way: it ends now, and lets the lock go when it comes. What lets it go has been done, or has failed, and says so. */
  override abort(): boolean {
    if (this.#stage === UNLOCKING) return false;
    if (this.#stage !== LOCKING) return super.abort();
    this.#stage = GIVEN_UP;
    this.status = ECANCELED;
    super.finish();
    return true;
  }

  #compareNext(): void {
    const { parent, channel } = this;
    if (this.status !== 0) {
      this.finish();
      return;
    }
    if (this.#done === parent.bytes) {
      if (this.#lock === null) {
        this.finish();
        return;
      }
      this.#done = 0;
      this.#stage = WRITING;
      return;
    }
    const buf = this.takeBuffer();
    if (buf === null) return;
    const io = this.take();
    if (io === null) return;
    this.#length = Math.min(parent.bytes - this.#done, wholeBlocks(buf, channel.bdev.blockSizeBytes));
    io.ownIovs.push(buf.segment, buf.offset, this.#length);
    this.give(io, this.#child, IO_READ, parent.byteOffset + this.#done, this.#length, 0);
  }

  #writeNext(): void {
    const { parent } = this;
    if (this.#done === parent.bytes) {
      this.finish();
      return;
    }
    const io = this.take();
    if (io === null) return;
    io.iovs = parent.writeIovs as IoVecs;
    this.#length = parent.bytes;
    this.give(io, this.#child, IO_WRITE, parent.byteOffset, parent.bytes, parent.flags);
  }

  protected override childDone(): void {
    if (this.#stage === COMPARING) {
      const buf = this.buf as IoBuf;
      const differs = firstDifference(this.parent.iovs, this.#done, buf.segment.u8, buf.offset, this.#length);
      if (differs >= 0) this.status = EILSEQ;
    }
    this.#done += this.#length;
  }

  protected override finish(): void {
    this.giveBufferBack();
    const lock = this.#lock;
    if (lock === null || this.#stage === UNLOCKING) {
      super.finish();
      return;
    }
    this.#stage = UNLOCKING;
    lock.release(() => super.finish());
  }
}

/** The most whole blocks that fit, in bytes. */
export function wholeBlocks(buf: IoBuf, blockBytes: number): number {
  return Math.floor(buf.sizeBytes / blockBytes) * blockBytes;
}

/** Where the memory of `iovs`, from its byte `from` on, differs from `bytes` of `other` at `at`; -1 when nowhere. */
export function firstDifference(iovs: IoVecs, from: number, other: Uint8Array, at: number, bytes: number): number {
  let skip = from;
  let done = 0;
  for (let i = 0; i < iovs.count && done < bytes; i++) {
    if (skip >= iovs.bytes[i]) {
      skip -= iovs.bytes[i];
      continue;
    }
    const piece = Math.min(iovs.bytes[i] - skip, bytes - done);
    const { u8 } = iovs.segment[i] as Segment;
    const start = iovs.offset[i] + skip;
    for (let k = 0; k < piece; k++) if (u8[start + k] !== other[at + done + k]) return done + k;
    done += piece;
    skip = 0;
  }
  return -1;
}
