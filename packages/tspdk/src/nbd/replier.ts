/**
 * Finished requests become bytes on the socket: the send side of a connection in the transmission phase.
 *
 * Replies wait in one queue. Whenever no send is under way, all that are ready go into one gathered send: headers lie side by side in
 * the lane's arena, payloads are named where they are, in a buffer or in the disk's own memory. While the kernel works
 * on it the next batch gathers, so a busy connection costs one call for many replies.
 * Replies of a client that does not read stay here; there are never more than the connection has slots. Data path; the
 * connection's reactor only.
 */
import type { Extents } from '../bdev/index.ts';
import type { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import { STATUS_BYTES_MIN, writeStatus } from './block-status.ts';
import type { Connection } from './connection.ts';
import { PAYLOAD_BUFFER, PAYLOAD_MEMORY, PAYLOAD_NONE, PAYLOAD_STATUS, type Request } from './request.ts';
import * as wire from './wire.ts';

/** Payload after which a batch goes out: the kernel should not wait for us to gather more. */
const BATCH_BYTES = 1024 * 1024;
/** The longest header. */
const HEADER_BYTES_MAX = 48;
const QUEUE_MASK = limits.nbd_requests * 2 - 1;

export class Replier {
  readonly #conn: Connection;
  readonly #iovs: IoVecs;
  readonly #queue: (Request | null)[] = new Array<Request | null>(QUEUE_MASK + 1).fill(null);
  #head = 0;
  #tail = 0;
  readonly #sent: (Request | null)[] = new Array<Request | null>(limits.nbd_requests).fill(null);
  #sentCount = 0;
  #sending = false;
  /** A READ of memory that is not to be had: it leaves without a reply, to come again. */
  #diverted: Request | null = null;
  readonly #extents: Extents;

  // The batch that is being built.
  #at = 0;
  #runStart = 0;
  #bytes = 0;

  constructor(conn: Connection, iovs: IoVecs, extents: Extents) {
    this.#conn = conn;
    this.#extents = extents;
    this.#iovs = iovs;
  }

  get sending(): boolean {
    return this.#sending;
  }
  /** Nothing waits and nothing is under way. */
  get quiet(): boolean {
    return !this.#sending && this.#head === this.#tail;
  }

  queue(request: Request): void {
    this.#queue[this.#tail & QUEUE_MASK] = request;
    this.#tail = (this.#tail + 1) | 0;
  }

  /** Sends what is ready, unless a send is under way. */
  flush(): void {
    if (this.#sending || this.#head === this.#tail) return;
    this.#build();
    if (this.#iovs.count === 0) return;
    this.#sending = true;
    this.#conn.sock.send(this.#iovs);
  }

  /** The send is over: its slots and buffers are free. */
  sent(): void {
    this.#sending = false;
    for (let i = 0; i < this.#sentCount; i++) {
      this.#conn.releaseSlot(this.#sent[i]!);
      this.#sent[i] = null;
    }
    this.#sentCount = 0;
    this.#conn.readStream.sent();
  }

  /** The connection is over, and the kernel has let go of what was being sent. */
  abandon(): void {
    if (this.#sending) this.sent();
    while (this.#head !== this.#tail) {
      this.#conn.releaseSlot(this.#queue[this.#head & QUEUE_MASK]!);
      this.#queue[this.#head & QUEUE_MASK] = null;
      this.#head = (this.#head + 1) | 0;
    }
  }

  #build(): void {
    const { lane } = this.#conn;
    const iovs = this.#iovs;
    iovs.reset();
    this.#at = this.#runStart = lane.arenaOffset;
    this.#bytes = 0;
    const end = lane.arenaOffset + limits.nbd_arena_bytes - HEADER_BYTES_MAX;
    while (this.#head !== this.#tail && this.#sentCount < this.#sent.length) {
      // A reply needs two entries (the headers so far, its payload), and the run at the end one more.
      if (this.#at > end || iovs.count + 3 > iovs.capacity || this.#bytes >= BATCH_BYTES) break;
      const request = this.#queue[this.#head & QUEUE_MASK]!;
      if (!this.#reply(request, end)) break;
      this.#queue[this.#head & QUEUE_MASK] = null;
      this.#head = (this.#head + 1) | 0;
      if (this.#diverted === null) this.#sent[this.#sentCount++] = request;
      else {
        this.#diverted = null;
        this.#conn.executor.readIntoBuffer(request);
      }
    }
    this.#endRun();
  }

  #endRun(): void {
    if (this.#at === this.#runStart) return;
    this.#iovs.push(this.#conn.lane.segment, this.#runStart, this.#at - this.#runStart);
    this.#runStart = this.#at;
  }

  /** Adds the whole reply, or as much as there is; false when it is not complete. */
  #reply(request: Request, end: number): boolean {
    const conn = this.#conn;
    switch (request.payload) {
      case PAYLOAD_NONE:
        this.#header(request, request.error);
        return true;
      case PAYLOAD_BUFFER:
        this.#dataHeader(request, conn.at[request.index], request.length, true);
        this.#endRun();
        this.#iovs.push(request.buf!.segment, request.memOffset, request.length);
        this.#bytes += request.length;
        return true;
      case PAYLOAD_MEMORY:
        return this.#memory(request);
      case PAYLOAD_STATUS:
        return this.#blockStatus(request, end);
      default:
        return this.#stream(request, end);
    }
  }

  #memory(request: Request): boolean {
    const { export: exp, at } = this.#conn;
    const offset = at[request.index];
    if (request.length > exp.sizeBytes - offset) {
      this.#header(request, wire.NBD_EINVAL); // the disk has shrunk since
      return true;
    }
    if (exp.removed) {
      this.#header(request, wire.NBD_ESHUTDOWN);
      return true;
    }
    const before = this.#at;
    this.#dataHeader(request, offset, request.length, true);
    this.#endRun();
    if (!exp.channel.zcopy(offset, request.length, this.#iovs, false)) {
      // No room for all its parts in this send: alone in the next one it has.
      const last = this.#iovs.count - 1;
      const run = before - this.#iovs.offset[last];
      if (last === 0 && run === 0) {
        // Something has come between since it was asked for: the memory is not to be had, and it becomes an I/O.
        this.#iovs.reset();
        this.#at = this.#runStart = before;
        this.#diverted = request;
        return true;
      }
      this.#at = this.#runStart = before;
      this.#iovs.totalBytes -= this.#iovs.bytes[last];
      this.#iovs.count = last;
      if (run > 0) this.#iovs.push(this.#conn.lane.segment, before - run, run);
      return false;
    }
    this.#bytes += request.length;
    return true;
  }

  #blockStatus(request: Request, end: number): boolean {
    if (end - this.#at < STATUS_BYTES_MIN) return false;
    const { export: exp, at, lane } = this.#conn;
    const extents = this.#extents;
    extents.reset();
    const rc = exp.channel.blockStatus(at[request.index], request.length, extents);
    if (rc !== 0) {
      this.#header(request, wire.nbdError(rc));
      return true;
    }
    const oneOnly = (request.flags & wire.CMD_FLAG_REQ_ONE) !== 0;
    const bytes = writeStatus(lane.view, this.#at + wire.CHUNK_BYTES, end, extents, request.length, oneOnly);
    this.#chunk(request, wire.CHUNK_FLAG_DONE, wire.CHUNK_BLOCK_STATUS, bytes);
    this.#at += bytes;
    return true;
  }

  #stream(request: Request, end: number): boolean {
    const stream = this.#conn.readStream;
    const fragments = stream.fragments(request);
    for (let piece = stream.nextReady(); piece !== null; piece = stream.nextReady()) {
      if (this.#at > end || this.#iovs.count + 3 > this.#iovs.capacity || this.#bytes >= BATCH_BYTES) return false;
      if (stream.untouched && !fragments) {
        this.#dataHeader(request, this.#conn.at[request.index], request.length, true);
      }
      stream.taken(piece);
      if (fragments) this.#dataHeader(request, this.#conn.at[piece.index], piece.length, stream.finished);
      this.#endRun();
      this.#iovs.push(piece.buf!.segment, piece.memOffset, piece.length);
      this.#bytes += piece.length;
    }
    if (stream.finished) return true;
    if (stream.error === 0) return false;
    if (!stream.untouched && !fragments) {
      this.#conn.fail('a READ failed after the header of its reply was sent');
      return false;
    }
    this.#header(request, stream.error);
    stream.end();
    return true;
  }

  /** The header of a reply without payload. */
  #header(request: Request, error: number): void {
    const structured = this.#conn.structured;
    if (!structured || (request.type !== wire.CMD_READ && request.type !== wire.CMD_BLOCK_STATUS)) {
      this.#simple(request, error);
      return;
    }
    if (error === 0) {
      this.#chunk(request, wire.CHUNK_FLAG_DONE, wire.CHUNK_NONE, 0);
      return;
    }
    this.#chunk(request, wire.CHUNK_FLAG_DONE, wire.CHUNK_ERROR, 6);
    const view = this.#conn.lane.view;
    view.setUint32(this.#at, error);
    view.setUint16(this.#at + 4, 0);
    this.#at += 6;
  }

  #dataHeader(request: Request, offset: number, bytes: number, last: boolean): void {
    if (!this.#conn.structured) {
      this.#simple(request, 0);
      return;
    }
    this.#chunk(request, last ? wire.CHUNK_FLAG_DONE : 0, wire.CHUNK_OFFSET_DATA, bytes + 8);
    wire.writeOffset(this.#conn.lane.view, this.#at, offset);
    this.#at += 8;
  }

  #simple(request: Request, error: number): void {
    const view = this.#conn.lane.view;
    const at = this.#at;
    view.setUint32(at, wire.SIMPLE_REPLY_MAGIC);
    view.setUint32(at + 4, error);
    view.setInt32(at + 8, request.cookieHi);
    view.setInt32(at + 12, request.cookieLo);
    this.#at = at + wire.SIMPLE_REPLY_BYTES;
  }

  #chunk(request: Request, flags: number, type: number, length: number): void {
    const view = this.#conn.lane.view;
    const at = this.#at;
    view.setUint32(at, wire.CHUNK_MAGIC);
    view.setUint16(at + 4, flags);
    view.setUint16(at + 6, type);
    view.setInt32(at + 8, request.cookieHi);
    view.setInt32(at + 12, request.cookieLo);
    view.setUint32(at + 16, length);
    this.#at = at + wire.CHUNK_BYTES;
  }
}
