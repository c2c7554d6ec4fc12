/**
 * A mailbox: events from one core to one core, a single-producer single-consumer ring in shared memory.
 *
 * One ring per ordered pair of cores, so neither side ever competes with a third. An event is four 32-bit words: a function's number
 * (below 4096) and three arguments.
 *
 *   word 0: head, written by the consumer     from word 16: `capacity` slots of 4 words
 *   first word of a slot:  | lap + 1 (10 bits) | count (10 bits) | function (12 bits) |     lap and count are 0 but in a header
 *
 * What a hop between cores costs is cache lines that travel, about 100 ns each. So there is no shared tail: `publish` makes the first slot of a batch
 * its *header*: how many events start here, and in which lap round the ring. The consumer polls the one slot that comes next. A batch of four
 * thus crosses as one line, with its announcement in it. So that it crosses once: the consumer looks at that line all the time, and would take it away between
 * two writes of a producer that takes its time, so the first four events of a batch are written only when it is announced. The others both ends read
 * and write in the ring itself: copying whole batches first, on either side, was measured and costs more than it spares.
 *
 * Correctness. Indices only grow (mod 2^32); the capacity is a power of two. (1) The producer writes slots with plain stores, then stores the header
 * atomically: whoever loads the header sees the slots (the store releases, the load acquires). The header's word is the only one that the consumer looks
 * at early, so it is stored atomically or not at all. (2) A slot whose batch is not published never
 * looks like a header of this lap: in every lap each slot's first word is written, with this lap's number if it is a header, else with
 * none, so what the consumer finds there before is of the lap before, or 0. (512 laps have different numbers, and the number of laps in 2^32 is a
 * multiple of it.) (3) The consumer reads slots, then stores the new head atomically; the producer reuses a slot only after it has
 * loaded a head beyond it. The head may lag behind what was read (it is stored every quarter of the ring): the producer then thinks the
 * ring fuller than it is, by less than a quarter, and never waits for a consumer that has nothing left to read.
 *
 * Nothing is dropped: what does not fit the ring stays with the producer, in order, and every `publish` moves what fits. That is bounded;
 * past the bound `push` throws ENOMEM at the sender, where the fault is.
 */
import { assert, SpdkError } from './errors.ts';
import { limits } from './limits.ts';

const HEAD = 0;
const SLOTS = 16;

/** Events that fit a cache line: as many of a batch are kept back until it is announced. */
const FIRST = 4;

const ID_MASK = 0xfff;
const COUNT_SHIFT = 12;
const COUNT_MAX = 0x3ff;
const LAP_SHIFT = 22;
const LAP_MASK = 0x1ff;
assert(limits.event_fns_max <= ID_MASK + 1, 'a function number fits its 12 bits');

/** Bytes of shared memory for a mailbox of `capacity` events. */
export function mailboxBytes(capacity: number): number {
  return (SLOTS + capacity * 4) * 4;
}

/** FIFO of events on the sender's own heap: what did not fit the ring. */
class Overflow {
  #words = new Int32Array(256);
  #start = 0;
  #end = 0;

  get count(): number {
    return (this.#end - this.#start) >> 2;
  }

  push(w0: number, w1: number, w2: number, w3: number): void {
    if (this.#end === this.#words.length) this.#makeRoom();
    const at = this.#end;
    this.#words[at] = w0;
    this.#words[at + 1] = w1;
    this.#words[at + 2] = w2;
    this.#words[at + 3] = w3;
    this.#end = at + 4;
  }

  clear(): void {
    this.#start = 0;
    this.#end = 0;
  }

  /** Gives the oldest event to `outbox`. */
  shiftInto(outbox: Outbox): void {
    const words = this.#words;
    const at = this.#start;
    this.#start = at + 4;
    outbox.put(words[at], words[at + 1], words[at + 2], words[at + 3]);
  }

  /** Moves what is left to the front, or doubles the array. */
  #makeRoom(): void {
    const old = this.#words;
    const left = old.subarray(this.#start, this.#end);
    if (left.length > old.length / 2) this.#words = new Int32Array(old.length * 2);
    this.#words.set(left);
    this.#start = 0;
    this.#end = left.length;
  }
}

/** The sending end. Only the producer's core may call. */
export class Outbox {
  readonly #i32: Int32Array;
  readonly #capacity: number;
  readonly #mask: number;
  readonly #lapShift: number;
  readonly #what: string;
  readonly #overflow = new Overflow();
  /** Index of the first event that is not announced, and how many there are from it on. */
  #tail: number;
  #count = 0;
  /** The first of them, until they are announced. */
  readonly #first = new Int32Array(FIRST * 4);
  /** The most that `count` may become without looking at the consumer's head again; 0 while events overflow. */
  #room = 0;

  /** @param what names the pair in messages ("core 0 to core 1"). */
  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number, what: string) {
    assert((capacity & (capacity - 1)) === 0 && capacity > 1, `mailbox capacity ${capacity} is a power of two`);
    this.#i32 = new Int32Array(buffer, byteOffset, SLOTS + capacity * 4);
    this.#capacity = capacity;
    this.#mask = capacity - 1;
    this.#lapShift = 31 - Math.clz32(capacity);
    this.#what = what;
    // Plain: the consumer stores it only after this end has published.
    this.#tail = this.#i32[HEAD] as number;
  }

  /** Events that wait here: pushed and not published, or kept back because the ring was full. */
  get waiting(): number {
    return this.#count + this.#overflow.count;
  }

  /**
   * Queues an event; the consumer sees it after `publish`. `w0` is a function's number, 0 to 4095.
   * @throws {SpdkError} ENOMEM when limits.mailbox_overflow_events wait.
   */
  push(w0: number, w1: number, w2: number, w3: number): void {
    if (this.#count < this.#room || (this.#overflow.count === 0 && this.#look())) this.put(w0, w1, w2, w3);
    else this.#keep(w0, w1, w2, w3);
  }

  /** @internal Adds an event to the batch; there is room. */
  put(w0: number, w1: number, w2: number, w3: number): void {
    const n = this.#count;
    this.#count = n + 1;
    if (n < FIRST) {
      const first = this.#first;
      const at = n << 2;
      first[at] = w0;
      first[at + 1] = w1;
      first[at + 2] = w2;
      first[at + 3] = w3;
      return;
    }
    const i32 = this.#i32;
    const at = SLOTS + (((this.#tail + n) & this.#mask) << 2);
    i32[at] = w0;
    i32[at + 1] = w1;
    i32[at + 2] = w2;
    i32[at + 3] = w3;
  }

  /** Makes what was pushed visible, as far as the ring has room; `waiting` says what is left. True when there was something new. */
  publish(): boolean {
    const moved = this.#count > 0;
    if (moved) this.#announce();
    return this.#overflow.count > 0 ? this.#drain() || moved : moved;
  }

  /** Drops what waits here: the consumer is gone for good. */
  discard(): void {
    this.#count = 0;
    this.#overflow.clear();
  }

  /** Moves what overflowed, as far as there is room. True when something moved. */
  #drain(): boolean {
    const { count } = this.#overflow;
    while (this.#overflow.count > 0 && this.#look()) {
      while (this.#overflow.count > 0 && this.#count < this.#room) this.#overflow.shiftInto(this);
      if (this.#count > 0) this.#announce();
    }
    if (this.#overflow.count > 0) this.#room = 0;
    return this.#overflow.count < count;
  }

  /** Looks how far the consumer has read. True when the batch may take another event. */
  #look(): boolean {
    const used = (this.#tail - Atomics.load(this.#i32, HEAD)) | 0;
    const free = this.#capacity - used;
    this.#room = free < COUNT_MAX ? free : COUNT_MAX;
    return this.#count < this.#room;
  }

  /** Writes the first events of the batch, makes the first slot its header, and begins the next batch. */
  #announce(): void {
    const n = this.#count;
    const tail = this.#tail;
    const i32 = this.#i32;
    const first = this.#first;
    const lap = ((tail >>> this.#lapShift) & LAP_MASK) + 1;
    const header = first[0] | (n << COUNT_SHIFT) | (lap << LAP_SHIFT);
    const words = Math.min(n, FIRST) << 2;
    this.#tail = (tail + n) | 0;
    this.#count = 0;
    this.#room -= n;
    for (let at = 0; at < words; at += 4) {
      const to = SLOTS + (((tail + (at >> 2)) & this.#mask) << 2);
      if (at > 0) i32[to] = first[at];
      i32[to + 1] = first[at + 1];
      i32[to + 2] = first[at + 2];
      i32[to + 3] = first[at + 3];
    }
    Atomics.store(i32, SLOTS + ((tail & this.#mask) << 2), header);
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
  /** The ring's words: the loop that runs events reads them where they lie. */
  readonly i32: Int32Array;
  /** The event of index `i` begins at word `slots + ((i & mask) << 2)` of `i32`. */
  readonly mask: number;
  readonly slots: number = SLOTS;
  readonly #lapShift: number;
  readonly #commitEvery: number;
  #head: number;
  #committed: number;
  /** Events of the current batch that have not been taken. */
  #known = 0;
  /** Turns in a row in which the reader has found something here: its own, to judge how much waits. */
  busyTurns = 0;

  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number) {
    this.i32 = new Int32Array(buffer, byteOffset, SLOTS + capacity * 4);
    this.mask = capacity - 1;
    this.#lapShift = 31 - Math.clz32(capacity);
    this.#commitEvery = capacity >> 2;
    // Plain: only this end stores it.
    this.#head = this.i32[HEAD] as number;
    this.#committed = this.#head;
  }

  /** Published events that can be taken now; more may follow them. Looks at shared memory only when none are known. */
  available(): number {
    if (this.#known > 0) return this.#known;
    const head = this.#head;
    const header = Atomics.load(this.i32, SLOTS + ((head & this.mask) << 2));
    if (header >>> LAP_SHIFT !== ((head >>> this.#lapShift) & LAP_MASK) + 1) return 0;
    this.#known = (header >>> COUNT_SHIFT) & COUNT_MAX;
    return this.#known;
  }

  /** Index of the event that comes next. */
  get head(): number {
    return this.#head;
  }

  /** Numbers of the functions of `count` events from index `first` on: what was taken a moment ago. Not for the data path. */
  functionsFrom(first: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => functionOf(this.i32[SLOTS + (((first + i) & this.mask) << 2)]));
  }

  /** The next `n` events have been read: no more than `available()` said. Once a batch, as each store for an event is felt. */
  advance(n: number): void {
    this.#head = (this.#head + n) | 0;
    this.#known -= n;
    // Tells the producer, when that is worth a store.
    if (((this.#head - this.#committed) | 0) <= this.#commitEvery) return;
    this.#committed = this.#head;
    Atomics.store(this.i32, HEAD, this.#head);
  }
}

/** The function's number in a slot's first word. */
export function functionOf(word: number): number {
  return word & ID_MASK;
}
