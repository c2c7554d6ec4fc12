/**
 * Bytes from the socket become requests: the receive side of a connection in the transmission phase.
 *
 * Two banks take turns. A small WRITE's payload is used where it was received, so a bank that a disk still reads from is
 * left alone (`retain`, `release`) until it is done; what is incomplete at the end of a bank moves to the start of the other. A
 * large WRITE is received straight to where it goes (direct-write.ts); a refused one is skipped.
 * All requests that one receive brought are started before the first reply goes out. When slots or banks run out the socket is
 * simply not read: the peer's window closes, and nothing grows. Data path; the connection's reactor only.
 */
import { limits } from '../env/limits.ts';
import type { Connection } from './connection.ts';
import { BANK_BYTES } from './lane.ts';
import { Pace } from './pace.ts';
import type { Request } from './request.ts';
import * as wire from './wire.ts';

/**
 * What is received into a bank while large writes come: their payload should not, as it would have to be copied from there.
 * Still enough for many requests without payload.
 */
const CAUTIOUS_BYTES = 4096;
/** Room below which a bank is left for the other one. */
const ROOM_BYTES_MIN = 16 * 1024;
/** More is not waited for: it takes memory in the kernel, and caches grow cold. */
const GATHER_BYTES_MAX = 512 * 1024;
/** So many times longer than expected may requests take that are waited for. */
const LATE_FACTOR = 2;

export class Receiver {
  readonly #conn: Connection;
  /** Offsets in the lane's segment: unparsed bytes are [#head, #tail) of bank #bank. */
  #bank = 0;
  #head: number;
  #tail: number;
  readonly #refs = [0, 0];
  /** A receive is under way. */
  posted = false;
  /** Bytes the request at #head has in all, as far as is known. */
  #need = wire.REQUEST_BYTES;
  #skip = 0;
  #skipped: Request | null = null;
  /** No further request is read: the client said so, or the export is going. */
  ended = false;

  /** [head, tail) is what came with the handshake's last bytes, in bank 0. */
  constructor(conn: Connection, head: number, tail: number) {
    this.#conn = conn;
    this.#head = head;
    this.#tail = tail;
    this.#pace = new Pace(!conn.sock.gathers);
  }

  retain(bank: number): void {
    this.#refs[bank]++;
  }
  release(bank: number): void {
    this.#refs[bank]--;
  }

  /** The socket's answer, `bytes` > 0. */
  received(bytes: number): void {
    this.posted = false;
    this.#fresh = true;
    this.#conn.waitNoMore();
    const direct = this.#conn.directWrite;
    let rest = bytes;
    if (direct.active) {
      const payload = Math.min(bytes, direct.bytes);
      direct.received(payload);
      rest -= payload;
      if (rest === 0) return;
    }
    this.#tail += rest;
    this.#cautious = false;
  }

  #fresh = false;
  /** The last receive brought the beginning of a large write. */
  #cautious = false;
  #started = 0;
  /** Bytes of the requests that one receive brought, and of one request on average. */
  #bytes = 0;
  #bytesEach = wire.REQUEST_BYTES;
  /** Requests that the next receive should bring, and until when it waits for them, µs. */
  #want = 1;
  #dueUs = 0;
  readonly #pace: Pace;

  /** The last READ or WRITE was a large one: what counts is throughput. */
  #bulk = false;
  /** Counted among those for which the reactor naps, and among those for which it is awake when something comes. */
  #gathers = false;
  #awaits = false;

  /** More is in the socket: the batch is not over. */
  goesOn = false;

  /** After `parse`: whether to let requests gather before they are looked at. */
  settle(nowUs: number): void {
    if (!this.#fresh || !this.#conn.mayGather) return;
    this.#fresh = false;
    this.#dueUs = 0;
    this.goesOn = !this.#conn.sock.drained;
    if (this.goesOn) return;
    this.#want = this.#pace.next(this.#started, nowUs);
    if (this.#started > 0) this.#bytesEach += (this.#bytes / this.#started - this.#bytesEach) / 8;
    this.#started = 0;
    this.#bytes = 0;
    // Waiting for bytes ends when they are there: the time is for a client that does not send as many.
    const us = this.#conn.sock.gathers ? this.#pace.expectedUs * LATE_FACTOR : this.#pace.expectedUs;
    this.#dueUs = this.#want > 1 ? nowUs + us : 0;
    // A large payload comes in parts. Where the socket waits for all of them, so does the core; where it cannot, to be woken for each takes longer than its sender does.
    const asleep = this.#conn.sock.gathers;
    this.#count(this.#want > 1 || (this.#bulk && asleep), this.#bulk && !asleep);
  }

  #count(gathers: boolean, awaits: boolean): void {
    if (gathers !== this.#gathers) this.#conn.gathers(gathers);
    if (awaits !== this.#awaits) this.#conn.awaits(awaits);
    this.#gathers = gathers;
    this.#awaits = awaits;
  }

  /** Asks the socket for more, when there is room and nothing is outstanding. */
  post(): void {
    const conn = this.#conn;
    if (this.posted) {
      if (this.#dueUs > 0 && !conn.waitUntil(this.#dueUs)) {
        this.#dueUs = 0;
        conn.sock.hurry();
      }
      return;
    }
    if (this.ended) return;
    const direct = conn.directWrite;
    if (direct.active) {
      if (!direct.aim()) return;
    }
    const waits = this.#dueUs > 0 && conn.waitUntil(this.#dueUs);
    if (waits && !conn.sock.gathers) return;
    if (direct.active) {
      this.posted = true;
      const { segment, offset, bytes } = direct;
      const more = waits ? Math.floor((this.#want - 1) * this.#bytesEach) : 0;
      const least = conn.sock.gathers ? Math.min(bytes + more, GATHER_BYTES_MAX) : bytes;
      // With the end of a payload comes the next request's head, and so its payload has a receive of its own again.
      if (direct.isLast && this.#head === this.#tail && this.#makeRoom()) {
        conn.sock.recvTwo(segment!, offset, bytes, conn.lane.segment, this.#tail, wire.REQUEST_BYTES, least);
      } else conn.sock.recv(segment!, offset, bytes, least);
      return;
    }
    if (!this.#makeRoom()) return;
    this.posted = true;
    const room = this.#bankEnd() - this.#tail;
    // Half a request less: they are not all of one size.
    const wanted = Math.min(Math.floor((this.#want - 0.5) * this.#bytesEach), GATHER_BYTES_MAX);
    const least = waits ? wanted - (this.#tail - this.#head) : 1;
    const bytes = this.#cautious ? Math.min(room, CAUTIOUS_BYTES) : room;
    conn.sock.recv(conn.lane.segment, this.#tail, bytes, Math.max(1, least));
  }

  #bankEnd(): number {
    return this.#conn.lane.offset + (this.#bank + 1) * BANK_BYTES;
  }

  #makeRoom(): boolean {
    const kept = this.#tail - this.#head;
    if (this.#refs[this.#bank] === 0) {
      this.#moveTo(this.#bank, kept); // as low as possible: the same, warm bytes again and again
      return this.#tail < this.#bankEnd();
    }
    const room = this.#bankEnd() - this.#tail;
    if (room >= ROOM_BYTES_MIN && this.#bankEnd() - this.#head >= this.#need) return true;
    const other = 1 - this.#bank;
    if (this.#refs[other] !== 0) return false;
    this.#moveTo(other, kept);
    return true;
  }

  #moveTo(bank: number, kept: number): void {
    const { lane } = this.#conn;
    const start = lane.offset + bank * BANK_BYTES;
    this.#bank = bank;
    if (start === this.#head) return;
    if (kept > 0) lane.segment.u8.copyWithin(start, this.#head, this.#tail);
    this.#head = start;
    this.#tail = start + kept;
  }

  /** Starts every request that is complete. */
  parse(): void {
    const conn = this.#conn;
    const view = conn.lane.view;
    this.#need = wire.REQUEST_BYTES;
    const direct = conn.directWrite;
    while (!this.ended) {
      const available = this.#tail - this.#head;
      if (direct.active) {
        if (available > 0) this.#head += direct.take(conn.lane.segment, this.#head, available);
        if (direct.active) return;
        continue;
      }
      if (this.#skip > 0) {
        if (!this.#skipSome(available)) return;
        continue;
      }
      if (available < wire.REQUEST_BYTES) return;
      const head = this.#head;
      if (view.getUint32(head) !== wire.REQUEST_MAGIC) {
        conn.protocolError('a request has the wrong magic');
        return;
      }
      const type = view.getUint16(head + 6);
      const length = view.getUint32(head + 24);
      const write = type === wire.CMD_WRITE;
      if (write && length > limits.nbd_payload_bytes_max) {
        conn.protocolError(`a WRITE has ${length} bytes, limit ${limits.nbd_payload_bytes_max}`);
        return;
      }
      const whole = write ? wire.REQUEST_BYTES + length : wire.REQUEST_BYTES;
      const large = available < whole && length >= limits.nbd_direct_write_bytes;
      if (available < whole && !large) {
        this.#need = whole;
        return;
      }
      if (type === wire.CMD_DISC) {
        this.ended = true;
        conn.disconnectRequested();
        return;
      }
      const request = conn.takeSlot();
      if (request === null) return;
      request.type = type;
      request.flags = view.getUint16(head + 4);
      request.cookieHi = view.getInt32(head + 8);
      request.cookieLo = view.getInt32(head + 12);
      conn.at[request.index] = wire.readOffset(view, head + 16);
      request.length = length;
      this.#started++;
      this.#bytes += whole;
      conn.count(type, length);
      if (type <= wire.CMD_WRITE) this.#bulk = length >= limits.nbd_direct_write_bytes;
      this.#head = head + wire.REQUEST_BYTES;
      if (large) this.#startLarge(request);
      else {
        this.#head = head + whole;
        conn.executor.execute(request, head + wire.REQUEST_BYTES, this.#bank);
      }
    }
  }

  #startLarge(request: Request): void {
    this.#cautious = true;
    const error = this.#conn.executor.check(request);
    if (error !== 0) {
      request.error = error;
      this.#skip = request.length;
      this.#skipped = request;
      return;
    }
    this.#head += this.#conn.directWrite.start(request, this.#conn.lane.segment, this.#head, this.#tail - this.#head);
  }

  #skipSome(available: number): boolean {
    const bytes = Math.min(this.#skip, available);
    this.#head += bytes;
    this.#skip -= bytes;
    if (this.#skip > 0) return false;
    const request = this.#skipped!;
    this.#skipped = null;
    this.#conn.executor.finish(request, request.error);
    return true;
  }

  /** The connection is over. */
  abandon(): void {
    const request = this.#skipped;
    this.#skipped = null;
    if (request !== null) this.#conn.releaseSlot(request);
    this.#conn.waitNoMore();
    this.#count(false, false);
  }
}
