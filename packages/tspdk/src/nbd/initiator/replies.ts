/**
 * What a server answers, as it comes in: simple replies, chunks of structured ones, data straight to the submitter's memory. Data path.
 *
 * Every magic, cookie, offset and length is a stranger's: what does not fit a request under way ends the connection.
 */
import type { BdevIo } from '../../bdev/bdev-io.ts';
import { IO_READ } from '../../bdev/index.ts';
import { IovCursor } from '../../env/iov-cursor.ts';
import { limits } from '../../env/limits.ts';
import { copyBytes, fillBytes, makeSegment, type Segment } from '../../env/segment.ts';
import type { Sock } from '../../sock/index.ts';
import * as wire from '../wire.ts';
import type { Slot } from './slot.ts';

/** What comes next. */
const HEADER = 0;
const DATA = 1;

/** Less than this is received together with what follows. */
const DIRECT_BYTES = 4096;
const HOLE_BYTES = wire.CHUNK_BYTES + 12;
const ERROR_BYTES_MIN = 6;

/** Whose requests are answered. */
export interface RepliesOwner {
  /** The request under way that a cookie names; null: none. */
  slotOf(epoch: number, index: number): Slot | null;
  /** The whole reply has come. */
  answered(slot: Slot): void;
  /** The connection is of no use any more; `end` is called. */
  leave(reason: string): void;
}

export class Replies {
  readonly #owner: RepliesOwner;
  readonly #structured: boolean;
  #open = false;
  // Bytes [#rxAt, #rxEnd) are there and not looked at.
  readonly #rx: Segment = makeSegment(0, new SharedArrayBuffer(limits.nbd_client_recv_bytes));
  #rxAt = 0;
  #rxEnd = 0;
  #phase = HEADER;
  /** Whose data comes, where it goes, how much is left, and whether the reply ends with it. */
  #slot: Slot | null = null;
  readonly #cursor = new IovCursor();
  #dataLeft = 0;
  #last = false;
  /** The receive under way goes to the submitter's memory. */
  #direct = false;

  constructor(owner: RepliesOwner, structured: boolean) {
    this.#owner = owner;
    this.#structured = structured;
  }

  /** There is a new connection. */
  begin(): void {
    this.#open = true;
    this.#phase = HEADER;
    this.#rxAt = 0;
    this.#rxEnd = 0;
  }

  /** The connection is over; what had come of a reply counts for nothing. */
  end(): void {
    this.#open = false;
    this.#cursor.end();
    this.#slot = null;
  }

  /** Has the next bytes come, straight to where they go if they are data. */
  receive(sock: Sock): void {
    if (this.#phase === DATA && this.#rxAt === this.#rxEnd && this.#dataLeft >= DIRECT_BYTES) {
      const cursor = this.#cursor;
      this.#direct = true;
      sock.recv(cursor.segment, cursor.offset, Math.min(cursor.bytes, this.#dataLeft));
      return;
    }
    this.#direct = false;
    if (this.#rxAt === this.#rxEnd) {
      this.#rxAt = 0;
      this.#rxEnd = 0;
    } else if (this.#rxAt > 0) {
      // The beginning of a header.
      copyBytes(this.#rx, 0, this.#rx, this.#rxAt, this.#rxEnd - this.#rxAt);
      this.#rxEnd -= this.#rxAt;
      this.#rxAt = 0;
    }
    sock.recv(this.#rx, this.#rxEnd, this.#rx.sizeBytes - this.#rxEnd);
  }

  /** So much has come. False when the connection is over. */
  took(bytes: number): boolean {
    if (this.#direct) this.#advance(bytes);
    else {
      this.#rxEnd += bytes;
      this.#parse();
    }
    return this.#open;
  }

  /** Looks at all that is there; what is not complete stays. */
  #parse(): void {
    while (this.#open && this.#rxAt < this.#rxEnd) {
      if (this.#phase === DATA) this.#copyData();
      else if (!this.#header(this.#rxEnd - this.#rxAt)) return;
    }
  }

  #copyData(): void {
    const cursor = this.#cursor;
    const bytes = Math.min(this.#dataLeft, this.#rxEnd - this.#rxAt, cursor.bytes);
    copyBytes(cursor.segment, cursor.offset, this.#rx, this.#rxAt, bytes);
    this.#rxAt += bytes;
    this.#advance(bytes);
  }

  /** So much of the data is where it belongs. */
  #advance(bytes: number): void {
    const slot = this.#slot as Slot;
    this.#cursor.advance(bytes);
    this.#dataLeft -= bytes;
    slot.received += bytes;
    if (this.#dataLeft > 0) return;
    this.#cursor.end();
    this.#phase = HEADER;
    this.#slot = null;
    if (this.#last) this.#owner.answered(slot);
  }

  /** A reply's header, of which `there` bytes have come; false when more are needed. */
  #header(there: number): boolean {
    if (there < wire.SIMPLE_REPLY_BYTES) return false;
    const { view } = this.#rx;
    const at = this.#rxAt;
    const magic = view.getUint32(at);
    const simple = magic === wire.SIMPLE_REPLY_MAGIC;
    if (!simple && (magic !== wire.CHUNK_MAGIC || !this.#structured)) {
      this.#owner.leave(`the server breaks the protocol: a reply begins with 0x${magic.toString(16)}`);
      return false;
    }
    const index = view.getUint32(at + 12);
    const slot = this.#owner.slotOf(view.getInt32(at + 8), index);
    if (slot === null) {
      this.#owner.leave(`the server breaks the protocol: a reply to request ${index}, which is not under way`);
      return false;
    }
    return simple ? this.#simple(slot, view.getUint32(at + 4)) : this.#chunk(slot, there);
  }

  #simple(slot: Slot, error: number): boolean {
    const io = slot.io as BdevIo;
    this.#rxAt += wire.SIMPLE_REPLY_BYTES;
    slot.error = error;
    if (io.type !== IO_READ || error !== 0) this.#owner.answered(slot);
    else if (this.#structured) {
      this.#owner.leave('the server breaks the protocol: a simple reply to a read');
      return false;
    } else this.#expect(slot, 0, io.bytes, true);
    return true;
  }

  /** `bytes` of data follow, for `from` bytes into the request. */
  #expect(slot: Slot, from: number, bytes: number, last: boolean): void {
    this.#slot = slot;
    this.#dataLeft = bytes;
    this.#last = last;
    this.#phase = DATA;
    this.#cursor.start((slot.io as BdevIo).iovs);
    this.#cursor.advance(from);
  }

  /** A chunk of a structured reply. */
  #chunk(slot: Slot, there: number): boolean {
    if (there < wire.CHUNK_BYTES) return false;
    const { view } = this.#rx;
    const at = this.#rxAt;
    const last = (view.getUint16(at + 4) & wire.CHUNK_FLAG_DONE) !== 0;
    const type = view.getUint16(at + 6);
    const length = view.getUint32(at + 16);
    const reads = slot.io?.type === IO_READ;
    if (type === wire.CHUNK_NONE && length === 0 && last) {
      this.#rxAt += wire.CHUNK_BYTES;
      this.#owner.answered(slot);
      return true;
    }
    if (type === wire.CHUNK_OFFSET_DATA && reads && length > 8) {
      if (there < wire.DATA_CHUNK_BYTES) return false;
      const from = wire.readOffset(view, at + wire.CHUNK_BYTES) - (slot.io as BdevIo).byteOffset;
      if (!this.#isInside(slot, from, length - 8)) return false;
      this.#rxAt += wire.DATA_CHUNK_BYTES;
      this.#expect(slot, from, length - 8, last);
      return true;
    }
    if (type === wire.CHUNK_OFFSET_HOLE && reads && length === 12) {
      if (there < HOLE_BYTES) return false;
      const from = wire.readOffset(view, at + wire.CHUNK_BYTES) - (slot.io as BdevIo).byteOffset;
      const bytes = view.getUint32(at + wire.CHUNK_BYTES + 8);
      if (!this.#isInside(slot, from, bytes)) return false;
      this.#rxAt += HOLE_BYTES;
      this.#zero(slot, from, bytes);
      if (last) this.#owner.answered(slot);
      return true;
    }
    if (
      (type & wire.CHUNK_ERROR_BIT) !== 0 &&
      length >= ERROR_BYTES_MIN &&
      length <= limits.nbd_string_bytes_max + 16
    ) {
      if (there < wire.CHUNK_BYTES + length) return false;
      const error = view.getUint32(at + wire.CHUNK_BYTES);
      if (slot.error === 0) slot.error = error === 0 ? wire.NBD_EIO : error;
      this.#rxAt += wire.CHUNK_BYTES + length;
      if (last) this.#owner.answered(slot);
      return true;
    }
    this.#owner.leave(`the server breaks the protocol: a chunk of type ${type} and ${length} bytes`);
    return false;
  }

  #isInside({ io, received }: Slot, from: number, bytes: number): boolean {
    const { bytes: asked } = io as BdevIo;
    // And no more altogether than was asked for.
    if (from >= 0 && bytes > 0 && from + bytes <= asked && received + bytes <= asked) return true;
    this.#owner.leave(`the server breaks the protocol: ${bytes} bytes at ${from} of a read of ${asked}`);
    return false;
  }

  #zero(slot: Slot, from: number, bytes: number): void {
    const cursor = this.#cursor;
    cursor.start((slot.io as BdevIo).iovs);
    cursor.advance(from);
    slot.received += bytes;
    while (bytes > 0) {
      const piece = Math.min(bytes, cursor.bytes);
      fillBytes(cursor.segment, cursor.offset, piece, 0);
      cursor.advance(piece);
      bytes -= piece;
    }
    cursor.end();
  }
}
