/**
 * A large WRITE whose payload is received straight to where it goes: one at a time per connection, as the stream has it.
 *
 * On a memory disk that is the disk's own memory. (A client that dies half-way leaves a torn write, which it was never told is
 * done.) On any other disk it is I/O buffers, a piece each, cut where the disk's offset is a multiple of the piece size; each piece is
 * written as soon as it is full, and the request is answered after the last. A disk that is written in units which an I/O buffer does not hold has buffers of its
 * own for that (write-buffers.ts). No buffer, or no piece: the connection is not read until there is one. Data path; the connection's reactor only.
 */

import { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import { copyBytes, type Segment } from '../env/segment.ts';
import type { Connection } from './connection.ts';
import type { BufferPort } from './ports.ts';
import { OP_WRITE, Request } from './request.ts';
import { nbdError } from './wire.ts';
import type { WriteBuffers } from './write-buffers.ts';

/** Pieces of direct writes that one connection has at its disk. */
export const WRITE_PIECES = 8;

export class DirectWrite {
  readonly #conn: Connection;
  /** The request whose payload is being received. */
  #request: Request | null = null;
  #received = 0;
  /** The payload goes straight to the disk's memory: where, and how far it got. */
  #inPlace = false;
  readonly #vecs = new IoVecs(limits.nbd_send_iovs);
  #vec = 0;
  #vecDone = 0;
  /** Other disks: what their pieces are received into, null for I/O buffers, and the most that one holds. */
  readonly #buffers: WriteBuffers | null;
  readonly #pieceBytes: number;
  readonly #free: Request[] = [];
  #piece: Request | null = null;
  #pieceDone = 0;

  /** Where the next payload bytes go, valid after `aim()` was true. */
  segment: Segment | null = null;
  offset = 0;
  bytes = 0;

  constructor(conn: Connection, firstIndex: number) {
    this.#conn = conn;
    this.#buffers = conn.export.writeBuffers;
    this.#pieceBytes = this.#buffers?.sizeBytes ?? conn.pieceBytes;
    for (let i = 0; i < WRITE_PIECES; i++) this.#free.push(new Request(conn, firstIndex + i));
  }

  get active(): boolean {
    return this.#request !== null;
  }

  /** A buffer waits for payload from the client. */
  get hoards(): boolean {
    return this.#piece !== null && this.#piece.buf !== null;
  }

  /** Begins a checked WRITE with the payload bytes that are already here; returns how many it used. */
  start(request: Request, segment: Segment, at: number, available: number): number {
    this.#request = request;
    this.#received = 0;
    this.#vec = 0;
    this.#vecDone = 0;
    this.#vecs.reset();
    request.pending = 0;
    const { export: exp, at: offsets } = this.#conn;
    this.#inPlace = exp.memory && exp.channel.zcopy(offsets[request.index], request.length, this.#vecs, true);
    return this.take(segment, at, available);
  }

  /** Copies payload bytes that lie in the receive buffer; returns how many. */
  take(segment: Segment, at: number, available: number): number {
    let used = 0;
    while (used < available && this.active && this.aim()) {
      const bytes = Math.min(this.bytes, available - used);
      copyBytes(this.segment!, this.offset, segment, at + used, bytes);
      used += bytes;
      this.received(bytes);
    }
    return used;
  }

  /** Finds where the next bytes go; false while there is no buffer. */
  aim(): boolean {
    if (this.#inPlace) {
      this.segment = this.#vecs.segment[this.#vec];
      this.offset = this.#vecs.offset[this.#vec] + this.#vecDone;
      this.bytes = this.#vecs.bytes[this.#vec] - this.#vecDone;
      return true;
    }
    const piece = this.#piece ?? this.#nextPiece();
    if (piece === null || piece.buf === null) return false;
    this.segment = piece.buf.segment;
    this.offset = piece.buf.offset + this.#pieceDone;
    this.bytes = piece.ioBytes - this.#pieceDone;
    return true;
  }

  #nextPiece(): Request | null {
    const conn = this.#conn;
    const piece = this.#free.pop();
    if (piece === undefined) return null;
    const request = this.#request!;
    const from = conn.at[request.index] + this.#received;
    const toBoundary = this.#pieceBytes - (from % this.#pieceBytes);
    piece.parent = request;
    piece.op = OP_WRITE;
    piece.ioBytes = Math.min(toBoundary, request.length - this.#received);
    conn.ioAt[piece.index] = from;
    piece.buf = this.#buffers === null ? conn.buffers.getLarge() : this.#buffers.get();
    this.#piece = piece;
    this.#pieceDone = 0;
    if (piece.buf === null) {
      piece.waitsForBuffer = true;
      conn.outstanding++;
      if (this.#buffers === null) conn.buffers.waitLarge(piece);
      else this.#buffers.wait(piece);
    }
    return piece;
  }

  bufferReady(piece: Request, buf: BufferPort): void {
    piece.buf = buf;
    this.#conn.touch();
  }

  /** What `aim` points to is the end of the payload. */
  get isLast(): boolean {
    return this.#received + this.bytes === this.#request!.length;
  }

  /** `bytes` of payload have arrived where `aim` pointed. */
  received(bytes: number): void {
    const request = this.#request!;
    this.#received += bytes;
    if (this.#inPlace) {
      this.#vecDone += bytes;
      if (this.#vecDone === this.#vecs.bytes[this.#vec]) {
        this.#vec++;
        this.#vecDone = 0;
      }
      if (this.#received < request.length) return;
      this.#request = null;
      this.#conn.export.channel.zcopyWritten(this.#conn.at[request.index], request.length);
      this.#conn.executor.written(request);
      return;
    }
    this.#pieceDone += bytes;
    const piece = this.#piece!;
    if (this.#pieceDone < piece.ioBytes) return;
    this.#piece = null;
    if (this.#received === request.length) this.#request = null;
    piece.segment = piece.buf!.segment;
    piece.memOffset = piece.buf!.offset;
    request.pending++;
    this.#conn.executor.submit(piece);
  }

  pieceDone(piece: Request, status: number): void {
    const request = piece.parent!;
    this.#recycle(piece);
    if (status !== 0 && request.error === 0) request.error = nbdError(status);
    if (--request.pending > 0 || this.#request === request) return;
    if (request.error !== 0) this.#conn.executor.finish(request, request.error);
    else this.#conn.executor.written(request);
  }

  #recycle(piece: Request): void {
    if (piece.buf !== null) (this.#buffers ?? this.#conn.buffers).put(piece.buf);
    piece.clear();
    this.#free.push(piece);
  }

  /** The connection is over: gives up what has not been handed to the disk. */
  abandon(): void {
    const request = this.#request;
    this.#request = null;
    const piece = this.#piece;
    this.#piece = null;
    if (piece !== null) {
      this.#conn.cancelWait(piece, this.#buffers ?? this.#conn.buffers);
      this.#recycle(piece);
    }
    if (request !== null && this.#inPlace) {
      this.#conn.export.channel.zcopyWritten(this.#conn.at[request.index], this.#received);
    }
    if (request !== null && request.pending === 0) this.#conn.executor.finish(request, request.error);
  }
}
