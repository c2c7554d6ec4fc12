/**
 * A mailbox: events from one core to one core, a single-producer single-consumer ring in shared memory.
 *
 * One ring per ordered pair of cores, so neither side ever competes with a third. An event is four 32-bit words.
 *
 *   word 0: head (consumer)   word 16: tail (producer)   from word 32: `capacity` slots of 4 words
 *
 * Correctness: head and tail only grow (mod 2^32); capacity is a power of two below 2^31. The producer writes slots in
 * [tail, tail'), then stores tail' atomically: whoever loads tail' sees the slots (the store releases, the load acquires). The
 * consumer reads slots in [head, tail'), then stores the new head: the producer reuses a slot only after it has loaded a head
 * beyond it. Each side keeps the other's last seen index, which can only be too old: the producer then thinks the ring
 * fuller, the consumer thinks it emptier than it is; both look again before they act on that.
 *
 * A full ring never drops: `push` keeps the event in the producer's own overflow list, in order, and every `publish` moves what
 * fits. The list is bounded too; past its bound `push` throws ENOMEM at the sender, where the fault is.
 */
import { assert, SpdkError } from './errors.ts';
import { limits } from './limits.ts';

const HEAD = 0;
const TAIL = 16;
const SLOTS = 32;

/** Bytes of shared memory for a mailbox of `capacity` events. */
export function mailboxBytes(capacity: number): number {
  return (SLOTS + capacity * 4) * 4;
}

/** Fixed-step ring of events on the sender's own heap: what did not fit. */
class Overflow {
  #words = new Int32Array(64);
  #head = 0;
  count = 0;

  push(w0: number, w1: number, w2: number, w3: number): void {
    if (this.count * 4 === this.#words.length) this.#grow();
    const at = ((this.#head + this.count) * 4) % this.#words.length;
    this.#words[at] = w0;
    this.#words[at + 1] = w1;
    this.#words[at + 2] = w2;
    this.#words[at + 3] = w3;
    this.count++;
  }

  /** Moves the oldest event into `target` at word `at`. */
  shiftInto(target: Int32Array, at: number): void {
    const from = (this.#head * 4) % this.#words.length;
    for (let i = 0; i < 4; i++) target[at + i] = this.#words[from + i];
    this.#head = (this.#head + 1) % (this.#words.length / 4);
    this.count--;
  }

  #grow(): void {
    const wider = new Int32Array(this.#words.length * 2);
    const events = this.count;
    for (let i = 0; i < events; i++) this.shiftInto(wider, i * 4);
    this.#words = wider;
    this.#head = 0;
    this.count = events;
  }
}

/** The sending end. Only the producer's core may call. */
export class Outbox {
  readonly #i32: Int32Array;
  readonly #base: number;
  readonly #mask: number;
  readonly #capacity: number;
  readonly #what: string;
  readonly #overflow = new Overflow();
  #tail: number;
  #headSeen: number;
  #published: number;

  /** @param what names the pair in messages ("core 0 to core 1"). */
  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number, what: string) {
    assert((capacity & (capacity - 1)) === 0 && capacity > 1, `mailbox capacity ${capacity} is a power of two`);
    this.#i32 = new Int32Array(buffer, byteOffset, SLOTS + capacity * 4);
    this.#base = SLOTS;
    this.#capacity = capacity;
    this.#mask = capacity - 1;
    this.#what = what;
    this.#tail = Atomics.load(this.#i32, TAIL);
    this.#headSeen = Atomics.load(this.#i32, HEAD);
    this.#published = this.#tail;
  }

  /** Events kept back because the ring was full. */
  get overflowing(): number {
    return this.#overflow.count;
  }

  /**
   * Queues an event; the consumer sees it after `publish`.
   * @throws {SpdkError} ENOMEM when ring and overflow list are full.
   */
  push(w0: number, w1: number, w2: number, w3: number): void {
    const tail = this.#tail;
    if (this.#overflow.count > 0 || (tail - this.#headSeen) >>> 0 >= this.#capacity) {
      if (!this.#hasRoom()) {
        this.#keep(w0, w1, w2, w3);
        return;
      }
    }
    const i32 = this.#i32;
    const at = this.#base + ((this.#tail & this.#mask) << 2);
    i32[at] = w0;
    i32[at + 1] = w1;
    i32[at + 2] = w2;
    i32[at + 3] = w3;
    this.#tail = (this.#tail + 1) | 0;
  }

  /** Makes what was pushed visible. True when there was something new. */
  publish(): boolean {
    if (this.#overflow.count > 0) this.#drainOverflow();
    if (this.#tail === this.#published) return false;
    this.#published = this.#tail;
    Atomics.store(this.#i32, TAIL, this.#tail);
    return true;
  }

  /** Looks at the consumer's head again, lets waiting events go first; true when a new event may take a slot. */
  #hasRoom(): boolean {
    if (this.#overflow.count > 0) this.#drainOverflow();
    this.#headSeen = Atomics.load(this.#i32, HEAD);
    return this.#overflow.count === 0 && (this.#tail - this.#headSeen) >>> 0 < this.#capacity;
  }

  #drainOverflow(): void {
    this.#headSeen = Atomics.load(this.#i32, HEAD);
    while (this.#overflow.count > 0 && (this.#tail - this.#headSeen) >>> 0 < this.#capacity) {
      this.#overflow.shiftInto(this.#i32, this.#base + ((this.#tail & this.#mask) << 2));
      this.#tail = (this.#tail + 1) | 0;
    }
  }

  #keep(w0: number, w1: number, w2: number, w3: number): void {
    if (this.#overflow.count >= limits.mailbox_overflow_events) {
      throw new SpdkError(
        'ENOMEM',
        `mailbox ${this.#what}: ${this.#capacity} events in the ring and ${limits.mailbox_overflow_events} waiting, limit reached`,
      );
    }
    this.#overflow.push(w0, w1, w2, w3);
  }
}

/** The receiving end. Only the consumer's core may call. */
export class Inbox {
  /** The ring's words and the first slot's index, for the loop that takes events. */
  readonly i32: Int32Array;
  readonly mask: number;
  static readonly slots: number = SLOTS;
  #head: number;
  #tailSeen: number;

  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number) {
    this.i32 = new Int32Array(buffer, byteOffset, SLOTS + capacity * 4);
    this.mask = capacity - 1;
    this.#head = Atomics.load(this.i32, HEAD);
    this.#tailSeen = Atomics.load(this.i32, TAIL);
  }

  /** Word index of the oldest event's slot. Valid when `available() > 0`. */
  get slot(): number {
    return SLOTS + ((this.#head & this.mask) << 2);
  }

  /** Published events not yet taken. Looks at shared memory only when none are known. */
  available(): number {
    const known = (this.#tailSeen - this.#head) | 0;
    if (known > 0) return known;
    this.#tailSeen = Atomics.load(this.i32, TAIL);
    return (this.#tailSeen - this.#head) | 0;
  }

  /** The slot at `slot` has been read; go to the next. */
  advance(): void {
    this.#head = (this.#head + 1) | 0;
  }

  /** Tells the producer how far this side has read. Once a batch. */
  commit(): void {
    Atomics.store(this.i32, HEAD, this.#head);
  }
}
