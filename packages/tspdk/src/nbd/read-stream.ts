/**
 * A READ too large for one buffer, on a disk that is not memory: read and sent piece by piece, one such READ at a time.
 *
 * The range is cut into windows where the disk's offset is a multiple of the piece size. Up to `nbd_read_pieces` windows are read
 * ahead, each piece with a buffer of its own that it keeps until the READ is over: a READ that has begun never waits for memory
 * that a reply behind it holds, so it cannot deadlock. Replies that become ready meanwhile wait until the last window is sent.
 * With structured replies each window is a chunk, and an error is an error chunk; in a simple reply, or when the
 * client forbids fragments, an error after the header can only end the connection. Data path; the connection's reactor only.
 */
import { limits } from '../env/limits.ts';
import type { Connection } from './connection.ts';
import type { BufferPort } from './ports.ts';
import { OP_READ, PAYLOAD_STREAM, Request } from './request.ts';
import { CMD_FLAG_DF, nbdError } from './wire.ts';

export class ReadStream {
  readonly #conn: Connection;
  readonly #window: number;
  readonly #pieces: Request[] = [];
  /** READs that wait for the present one. */
  readonly #waiting: Request[] = [];
  #request: Request | null = null;
  #queued = false;
  #firstWindow = 0;
  #windows = 0;
  /** Next window to read. */
  #next = 0;
  /** Next window to send. */
  #sending = 0;
  /** Pieces whose window is being read. */
  #reading = 0;
  /** Pieces whose window the present send carries. */
  #inSend = 0;
  #error = 0;

  constructor(conn: Connection, firstIndex: number) {
    this.#conn = conn;
    this.#window = conn.pieceBytes;
    for (let i = 0; i < limits.nbd_read_pieces; i++) this.#pieces.push(new Request(conn, firstIndex + i));
  }

  start(request: Request): void {
    if (this.#request === null) this.#begin(request);
    else this.#waiting.push(request);
  }

  #begin(request: Request): void {
    const conn = this.#conn;
    const offset = conn.at[request.index];
    this.#request = request;
    request.payload = PAYLOAD_STREAM;
    this.#queued = false;
    this.#firstWindow = Math.floor(offset / this.#window);
    this.#windows = Math.floor((offset + request.length - 1) / this.#window) - this.#firstWindow + 1;
    this.#next = 0;
    this.#sending = 0;
    this.#error = 0;
    for (const piece of this.#pieces) {
      if (this.#next === this.#windows) break;
      piece.parent = request;
      piece.window = this.#next;
      const buf = conn.buffers.getLarge();
      if (buf === null) {
        if (this.#next > 0) break; // one buffer is enough to go on with
        this.#next = 1;
        this.#reading++;
        piece.waitsForBuffer = true;
        conn.outstanding++;
        conn.buffers.waitLarge(piece);
        return;
      }
      this.#next++;
      this.#reading++;
      this.bufferReady(piece, buf);
    }
  }

  /** A piece has its buffer: reads its window. */
  bufferReady(piece: Request, buf: BufferPort): void {
    piece.buf = buf;
    this.#read(piece);
  }

  #read(piece: Request): void {
    const conn = this.#conn;
    const request = piece.parent!;
    const block = conn.export.blockBytes;
    const from = this.#from(piece.window);
    const end = this.#end(piece.window, request.length);
    const start = from - (from % block);
    const rest = end % block;
    piece.op = OP_READ;
    piece.length = end - from;
    piece.segment = piece.buf!.segment;
    piece.memOffset = piece.buf!.offset;
    conn.at[piece.index] = from;
    conn.ioAt[piece.index] = start;
    piece.ioBytes = (rest === 0 ? end : end - rest + block) - start;
    conn.executor.submit(piece);
  }

  #from(window: number): number {
    const offset = this.#conn.at[this.#request!.index];
    return window === 0 ? offset : (this.#firstWindow + window) * this.#window;
  }
  #end(window: number, length: number): number {
    const end = this.#conn.at[this.#request!.index] + length;
    return Math.min(end, (this.#firstWindow + window + 1) * this.#window);
  }

  pieceDone(piece: Request, status: number): void {
    this.#reading--;
    if (status !== 0) {
      if (this.#error === 0) this.#error = nbdError(status);
      this.#next = this.#windows;
    } else {
      piece.memOffset = piece.buf!.offset + (this.#conn.at[piece.index] - this.#conn.ioAt[piece.index]);
      piece.ready = true;
    }
    if (this.#conn.closing) {
      this.#finishIfQuiet();
      return;
    }
    if (!this.#queued && (this.#error !== 0 || this.#pieces[0].ready)) {
      this.#queued = true;
      this.#conn.reply(this.#request!);
    }
  }

  /** A READ is being carried out by pieces. */
  get active(): boolean {
    return this.#request !== null;
  }

  /** The error that ends the READ, once what it read before has been sent; 0 while there is none. */
  get error(): number {
    return this.#error;
  }
  /** Nothing of the reply has been built. */
  get untouched(): boolean {
    return this.#sending === 0;
  }
  get finished(): boolean {
    return this.#sending === this.#windows;
  }
  /** Whether each window is a chunk of its own. */
  fragments(request: Request): boolean {
    return this.#conn.structured && (request.flags & CMD_FLAG_DF) === 0;
  }

  /** The piece to send next, null while it is not read. */
  nextReady(): Request | null {
    if (this.#error !== 0 || this.finished) return null;
    for (const piece of this.#pieces) {
      if (piece.ready && piece.window === this.#sending) return piece;
    }
    return null;
  }

  /** The piece goes out with the send that is being built. */
  taken(piece: Request): void {
    piece.ready = false;
    piece.payload = PAYLOAD_STREAM; // marks it as part of the send
    this.#sending++;
    this.#inSend++;
  }

  /** No more is sent for this READ: its end, or the error that stands for the rest, is in the send that is being built. */
  end(): void {
    this.#next = this.#windows;
    this.#sending = this.#windows;
  }

  /** A send is over: pieces that it carried read on. */
  sent(): void {
    if (this.#request === null) return;
    if (this.#inSend > 0) {
      this.#inSend = 0;
      for (const piece of this.#pieces) {
        if (piece.payload !== PAYLOAD_STREAM) continue;
        piece.payload = 0;
        if (this.#next < this.#windows) {
          piece.window = this.#next++;
          this.#reading++;
          this.#read(piece);
        }
      }
    }
    this.#finishIfQuiet();
  }

  /** The READ is over when everything is sent and no piece is being read. The request's slot is the replier's to free. */
  #finishIfQuiet(): void {
    const request = this.#request;
    if (request === null || this.#reading > 0 || this.#inSend > 0) return;
    if (!this.finished && !this.#conn.closing) return;
    for (const piece of this.#pieces) {
      if (piece.buf !== null) this.#conn.buffers.put(piece.buf);
      piece.clear();
    }
    this.#request = null;
    if (this.#conn.closing) {
      if (!this.#queued) this.#conn.releaseSlot(request);
      this.#dropWaiting();
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) this.#begin(next);
  }

  #dropWaiting(): void {
    for (const request of this.#waiting) this.#conn.releaseSlot(request);
    this.#waiting.length = 0;
  }

  /** The connection is over. */
  abandon(): void {
    this.#inSend = 0;
    this.#dropWaiting();
    if (this.#request === null) return;
    this.#next = this.#windows;
    for (const piece of this.#pieces) {
      if (piece.waitsForBuffer) {
        this.#conn.cancelWait(piece);
        this.#reading--;
      }
    }
    this.#finishIfQuiet();
  }
}
