/**
 * A read or write of a disk with metadata, where the layer has to look at the metadata: checks what the user wrote or is about to get, or, for a user who knows nothing of it, puts it in
 * and takes it out (SPDK: lib/bdev generates and strips with hide_metadata; module/bdev/malloc verifies).
 *
 * A user with metadata keeps his memory: one child I/O of all of it, checked before it is written or after it was read. A user without has it go through buffers of the
 * pool, piece after piece: whole extended blocks when interleaved, the metadata alone when separate. What is wrong completes with -EIO and is said in the log.
 */
import type { IoBuf } from '../env/iobuf.ts';
import { IoVecs } from '../env/iovecs.ts';
import { fillBytes } from '../env/segment.ts';
import { log } from '../log/index.ts';
import type { BdevIo } from './bdev-io.ts';
import { BufferedIo } from './buffered-io.ts';
import {
  DIF_APPTAG_ERROR,
  DIF_GUARD_ERROR,
  difGenerateCopy,
  difVerify,
  difVerifyCopy,
  dixGenerate,
  dixVerify,
} from './dif/index.ts';
import { PLACE_PROTECTED } from './io-rank.ts';
import { IO_FLAG_BARE, IO_FLAG_CHECKED, IO_WRITE } from './io-type.ts';
import { LayerChild } from './layer-io.ts';
import type { Metadata } from './metadata.ts';
import { sliceIoVecs } from './slice.ts';

const difLog = log.register('bdev_dif');

export class ProtectedIo extends BufferedIo {
  readonly #child = new LayerChild(this);
  /** The piece's extended blocks, or its metadata, in the buffer. */
  readonly #bounce = new IoVecs(1);
  /** The piece's data in the user's memory. */
  #data: IoVecs | null = null;
  /** Bytes of the disk that are done, and of the piece under way. */
  #done = 0;
  #length = 0;

  protected override get childFlags(): number {
    return IO_FLAG_CHECKED;
  }

  protected get place(): number {
    return PLACE_PROTECTED;
  }

  protected proceed(): void {
    const { parent } = this;
    if (this.status !== 0 || this.#done === parent.bytes) {
      this.finish();
      return;
    }
    if ((parent.flags & IO_FLAG_BARE) === 0) this.#whole();
    else this.#nextPiece();
  }

  get #metadata(): Metadata {
    return this.channel.bdev.metadata as Metadata;
  }

  /** All of a user's I/O who has the metadata. */
  #whole(): void {
    const { parent } = this;
    if (parent.type === IO_WRITE && !this.#verify(parent.iovs, parent.mdIovs, parent.bytes)) {
      this.finish();
      return;
    }
    const io = this.take();
    if (io === null) return;
    io.iovs = parent.iovs;
    io.mdIovs = parent.mdIovs;
    this.#length = parent.bytes;
    this.give(io, this.#child, parent.type, parent.byteOffset, parent.bytes, parent.flags & ~IO_FLAG_BARE);
  }

  #nextPiece(): void {
    const { parent } = this;
    const buf = this.takeBuffer();
    if (buf === null) return;
    const io = this.take();
    if (io === null) return;
    this.#aim(buf, io);
    this.give(io, this.#child, parent.type, parent.byteOffset + this.#done, this.#length, parent.flags & ~IO_FLAG_BARE);
  }

  /** Makes up the next piece, as much as the buffer holds, and its memory. */
  #aim(buf: IoBuf, io: BdevIo): void {
    const { parent } = this;
    const { format, blockBytes, dataBytes } = this.#metadata;
    const inBuffer = format.interleaved ? blockBytes : format.bytes;
    const left = (parent.bytes - this.#done) / blockBytes;
    const blocks = Math.min(left, Math.floor(buf.sizeBytes / inBuffer));
    this.#data ??= new IoVecs(parent.iovs.count);
    sliceIoVecs(parent.iovs, (this.#done / blockBytes) * dataBytes, blocks * dataBytes, this.#data);
    this.#length = blocks * blockBytes;
    this.#bounce.reset();
    this.#bounce.push(buf.segment, buf.offset, blocks * inBuffer);
    if (format.interleaved) io.iovs = this.#bounce;
    else {
      io.iovs = this.#data;
      io.mdIovs = this.#bounce;
    }
    if (parent.type === IO_WRITE) this.#putIn(buf, blocks, this.#data);
  }

  #putIn(buf: IoBuf, blocks: number, data: IoVecs): void {
    const { format, dif } = this.#metadata;
    // What of the metadata nobody writes is zeroes, not what was in the buffer.
    fillBytes(buf.segment, buf.offset, this.#bounce.totalBytes, 0);
    this.#setRefTag();
    if (!format.interleaved) dixGenerate(data, this.#bounce, blocks, dif);
    else if (this.#metadata.protects) difGenerateCopy(data, this.#bounce, blocks, dif);
    else this.#copyPlain(data, blocks, true);
  }

  /** Between bare data and extended blocks without protection information. */
  #copyPlain(data: IoVecs, blocks: number, toDisk: boolean): void {
    const { blockBytes, dataBytes, dif } = this.#metadata;
    const buf = this.buf as IoBuf;
    dif.cursor.start(data);
    for (let i = 0; i < blocks; i++) {
      dif.cursor.copy(!toDisk, buf.segment, buf.offset + i * blockBytes, dataBytes);
      dif.cursor.advance(dataBytes);
    }
    dif.cursor.end();
  }

  protected override childDone(): void {
    const { parent } = this;
    if (parent.type !== IO_WRITE) {
      if ((parent.flags & IO_FLAG_BARE) === 0) this.#verify(parent.iovs, parent.mdIovs, parent.bytes);
      else this.#takeOut(this.#length / this.#metadata.blockBytes);
    }
    this.#done += this.#length;
  }

  #takeOut(blocks: number): void {
    const { format, protects, dif, error } = this.#metadata;
    const data = this.#data as IoVecs;
    if (!protects) {
      if (format.interleaved) this.#copyPlain(data, blocks, false);
      return;
    }
    this.#setRefTag();
    const rc = format.interleaved
      ? difVerifyCopy(data, this.#bounce, blocks, dif, error)
      : dixVerify(data, this.#bounce, blocks, dif, error);
    if (rc !== 0) this.#fail(rc);
  }

  /** Checks the user's own metadata. */
  #verify(iovs: IoVecs, mdIovs: IoVecs | null, bytes: number): boolean {
    const { format, blockBytes, dif, error } = this.#metadata;
    // Without room for the metadata none is carried, and nothing can be checked.
    if (!format.interleaved && mdIovs === null) return true;
    this.#setRefTag();
    const blocks = bytes / blockBytes;
    const rc = format.interleaved
      ? difVerify(iovs, blocks, dif, error)
      : dixVerify(iovs, mdIovs as IoVecs, blocks, dif, error);
    if (rc !== 0) this.#fail(rc);
    return rc === 0;
  }

  #setRefTag(): void {
    const { blockBytes, dif } = this.#metadata;
    dif.setInitRefTag((this.parent.byteOffset + this.#done) / blockBytes);
  }

  #fail(status: number): void {
    this.status = status;
    const { bdev, manager } = this.channel;
    const { error, lines, blockBytes } = this.#metadata;
    if (!lines.allows(manager.reactor.clock.nowUs)) return;
    const kind =
      error.errType === DIF_GUARD_ERROR
        ? 'guard'
        : error.errType === DIF_APPTAG_ERROR
          ? 'application tag'
          : 'reference tag';
    const block = (this.parent.byteOffset + this.#done) / blockBytes + error.errOffset;
    const wrong = `${kind} ${error.actual}, expected ${error.expected}`;
    difLog.error(`bdev "${bdev.name}": block ${block} has ${wrong}${lines.note}`);
  }
}
