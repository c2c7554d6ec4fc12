/**
 * The handshake's I/O: moves bytes between a socket and the Negotiator, within the connection's lane.
 *
 * One receive or one send at a time. A reply longer than the arena goes out in parts, and nothing is read meanwhile, so a peer that
 * asks for lists and never reads them holds one list. Becomes garbage when the transmission phase begins.
 */
import type { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import { BANK_BYTES, type Lane } from './lane.ts';
import type { Negotiator } from './negotiate.ts';
import type { ExportPort, SockPort } from './ports.ts';

export class Handshake {
  readonly #lane: Lane;
  readonly #sock: SockPort;
  readonly #iovs: IoVecs;
  readonly #negotiator: Negotiator<ExportPort>;
  /** Received and not used yet: [head, tail) of the lane's segment. */
  head: number;
  tail: number;
  #receiving = false;
  #sending = false;
  /** Bytes of out[0] that were sent. */
  #outDone = 0;

  constructor(lane: Lane, sock: SockPort, iovs: IoVecs, negotiator: Negotiator<ExportPort>) {
    this.#lane = lane;
    this.#sock = sock;
    this.#iovs = iovs;
    this.#negotiator = negotiator;
    this.head = this.tail = lane.offset;
  }

  received(bytes: number): void {
    this.#receiving = false;
    this.tail += bytes;
  }
  sent(): void {
    this.#sending = false;
  }

  /** Goes on until it must wait. 'wait', or how the handshake ended. */
  run(): 'wait' | 'transmission' | 'closed' {
    const negotiator = this.#negotiator;
    for (;;) {
      if (this.#sending) return 'wait';
      if (negotiator.out.length > 0) {
        this.#send();
        return 'wait';
      }
      if (negotiator.phase === 'transmission') return 'transmission';
      if (negotiator.phase === 'closed') return 'closed';
      const { u8 } = this.#lane.segment;
      const used = negotiator.feed(u8.subarray(this.head, this.tail));
      this.head += used;
      if (used > 0) continue;
      this.#receive();
      return 'wait';
    }
  }

  #receive(): void {
    if (this.#receiving) return;
    const { segment, offset } = this.#lane;
    if (this.head > offset) {
      segment.u8.copyWithin(offset, this.head, this.tail);
      this.tail -= this.head - offset;
      this.head = offset;
    }
    this.#receiving = true;
    this.#sock.recv(segment, this.tail, offset + BANK_BYTES - this.tail);
  }

  #send(): void {
    const { out } = this.#negotiator;
    const { segment, arenaOffset } = this.#lane;
    let filled = 0;
    while (out.length > 0 && filled < limits.nbd_arena_bytes) {
      const part = out[0].subarray(this.#outDone, this.#outDone + limits.nbd_arena_bytes - filled);
      segment.u8.set(part, arenaOffset + filled);
      filled += part.length;
      this.#outDone += part.length;
      if (this.#outDone === out[0].length) {
        out.shift();
        this.#outDone = 0;
      }
    }
    this.#iovs.reset();
    this.#iovs.push(segment, arenaOffset, filled);
    this.#sending = true;
    this.#sock.send(this.#iovs);
  }
}
