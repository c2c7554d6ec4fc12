/**
 * A mailbox: events from one core to one core, a single-producer single-consumer ring in shared memory.
 *
 * One ring per ordered pair of cores, so neither side ever competes with a third. An event is four 32-bit words: a function's number
 * (below 4096) and three arguments.
 *
 *   word 0: head, written by the consumer     from word 16: `capacity` slots of 4 words
 *   first word of a slot:  | lap + 1 (10 bits) | count (10 bits) | function (12 bits) |     lap and count are 0 but in a header
 *
 * What a hop between cores costs is cache lines that travel, about 100 ns each. So there is no shared tail: the producer gathers events in memory of its
 * own (`push`), `publish` copies them into the ring in one go, and then makes the first slot a *header*: how many events start here, and in which
 * lap round the ring. The consumer polls the one slot that comes next. A batch of four thus crosses as one line, with its announcement in it. Measured
 * against a ring with a shared tail: 20 % less for one event, 40 % less for 64.
 *
 * Correctness. Indices only grow (mod 2^32); the capacity is a power of two. (1) The producer writes slots with plain stores, then stores the header
 * atomically: whoever loads the header sees the slots (the store releases, the load acquires). (2) A slot whose batch is not published never
 * looks like a header of this lap: in every lap each slot's first word is written, with this lap's number if it is a header, else with
 * none, so what the consumer finds there before is of the lap before, or 0. (512 laps have different numbers, and the number of laps in 2^32 is a
 * multiple of it.) (3) The consumer reads slots, then stores the new head atomically; the producer reuses a slot only after it has
 * loaded a head beyond it. The head may lag behind what was read (`commit` stores it every quarter of the ring): the producer then thinks the
 * ring fuller than it is, by less than a quarter, and never waits for a consumer that has nothing left to read.
 *
 * Nothing is dropped: what does not fit the ring stays with the producer, in order, and every `publish` moves what fits. That is bounded;
 * past the bound `push` throws ENOMEM at the sender, where the fault is.
 */
import { assert, SpdkError } from './errors.ts';
import { limits } from './limits.ts';

const HEAD = 0;
const SLOTS = 16;

const ID_MASK = 0xfff;
const COUNT_SHIFT = 12;
const COUNT_MAX = 0x3ff;
const LAP_SHIFT = 22;
const LAP_MASK = 0x1ff;
assert(limits.event_fns_max <= ID_MASK + 1, 'a function number fits its 12 bits');

/** Events for which a sender's own memory has room from the start. */
const FIRST_STAGED = 256;

/** Bytes of shared memory for a mailbox of `capacity` events. */
export function mailboxBytes(capacity: number): number {
  return (SLOTS + capacity * 4) * 4;
}

/** The sending end. Only the producer's core may call. */
export class Outbox {
  readonly #i32: Int32Array;
  readonly #capacity: number;
  readonly #lapShift: number;
  readonly #what: string;
  /** Events that are not in the ring yet: [start, end) in words. */
  #staged = new Int32Array(FIRST_STAGED * 4);
  #start = 0;
  #end = 0;
  #tail: number;
  #headSeen: number;

  /** @param what names the pair in messages ("core 0 to core 1"). */
  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number, what: string) {
    assert((capacity & (capacity - 1)) === 0 && capacity > 1, `mailbox capacity ${capacity} is a power of two`);
    this.#i32 = new Int32Array(buffer, byteOffset, SLOTS + capacity * 4);
    this.#capacity = capacity;
    this.#lapShift = 31 - Math.clz32(capacity);
    this.#what = what;
    this.#tail = Atomics.load(this.#i32, HEAD);
    this.#headSeen = this.#tail;
  }

  /** Events that wait here: pushed and not published, or kept back because the ring was full. */
  get waiting(): number {
    return (this.#end - this.#start) >> 2;
  }

  /**
   * Queues an event; the consumer sees it after `publish`. `w0` is a function's number, 0 to 4095.
   * @throws {SpdkError} ENOMEM when limits.mailbox_overflow_events wait.
   */
  push(w0: number, w1: number, w2: number, w3: number): void {
    const at = this.#end;
    if (at === this.#staged.length) {
      this.#makeRoom();
      this.push(w0, w1, w2, w3);
      return;
    }
    const staged = this.#staged;
    staged[at] = w0;
    staged[at + 1] = w1;
    staged[at + 2] = w2;
    staged[at + 3] = w3;
    this.#end = at + 4;
  }

  /** Makes what was pushed visible, as far as the ring has room; `waiting` says what is left. True when there was something new. */
  publish(): boolean {
    let moved = false;
    while (this.#end !== this.#start) {
      let n = this.waiting;
      if (n > COUNT_MAX) n = COUNT_MAX;
      let room = this.#capacity - ((this.#tail - this.#headSeen) | 0);
      if (n > room) {
        this.#headSeen = Atomics.load(this.#i32, HEAD);
        room = this.#capacity - ((this.#tail - this.#headSeen) | 0);
        if (room === 0) return moved;
        if (n > room) n = room;
      }
      this.#publishBatch(n);
      moved = true;
    }
    this.#start = 0;
    this.#end = 0;
    return moved;
  }

  /** Drops what waits here: the consumer is gone for good. */
  discard(): void {
    this.#start = 0;
    this.#end = 0;
  }

  #publishBatch(n: number): void {
    const i32 = this.#i32;
    const staged = this.#staged;
    const mask = this.#capacity - 1;
    const first = this.#tail;
    let from = this.#start;
    for (let i = 0; i < n; i++) {
      const at = SLOTS + (((first + i) & mask) << 2);
      i32[at] = staged[from];
      i32[at + 1] = staged[from + 1];
      i32[at + 2] = staged[from + 2];
      i32[at + 3] = staged[from + 3];
      from += 4;
    }
    const lap = ((first >>> this.#lapShift) & LAP_MASK) + 1;
    const header = staged[this.#start] | (n << COUNT_SHIFT) | (lap << LAP_SHIFT);
    this.#start = from;
    this.#tail = (first + n) | 0;
    Atomics.store(i32, SLOTS + ((first & mask) << 2), header);
  }

  /** The staging array is used up to its end: moves its contents to the front, or doubles it. */
  #makeRoom(): void {
    const waiting = this.waiting;
    if (waiting >= limits.mailbox_overflow_events) {
      throw new SpdkError(
        'ENOMEM',
        `mailbox ${this.#what}: ${this.#capacity} events in the ring and ${waiting} waiting, limit ${limits.mailbox_overflow_events} waiting`,
      );
    }
    const old = this.#staged;
    const words = old.subarray(this.#start, this.#end);
    if (words.length > old.length / 2) this.#staged = new Int32Array(old.length * 2);
    this.#staged.set(words);
    this.#start = 0;
    this.#end = words.length;
  }
}

/** The receiving end. Only the consumer's core may call. */
export class Inbox {
  /** The ring's words, for the loop that takes events. */
  readonly i32: Int32Array;
  readonly #mask: number;
  readonly #lapShift: number;
  readonly #commitEvery: number;
  #head: number;
  #committed: number;
  /** Events of the current batch that have not been taken. */
  #known = 0;

  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number) {
    this.i32 = new Int32Array(buffer, byteOffset, SLOTS + capacity * 4);
    this.#mask = capacity - 1;
    this.#lapShift = 31 - Math.clz32(capacity);
    this.#commitEvery = capacity >> 2;
    this.#head = Atomics.load(this.i32, HEAD);
    this.#committed = this.#head;
  }

  /** Word index of the oldest event's slot. Valid when `available() > 0`; the function's number is `functionOf(i32[slot])`. */
  get slot(): number {
    return SLOTS + ((this.#head & this.#mask) << 2);
  }

  /** Published events that can be taken now; more may follow them. Looks at shared memory only when none are known. */
  available(): number {
    if (this.#known > 0) return this.#known;
    const head = this.#head;
    const header = Atomics.load(this.i32, SLOTS + ((head & this.#mask) << 2));
    if (header >>> LAP_SHIFT !== ((head >>> this.#lapShift) & LAP_MASK) + 1) return 0;
    this.#known = (header >>> COUNT_SHIFT) & COUNT_MAX;
    return this.#known;
  }

  /** The slot at `slot` has been read; go to the next. */
  advance(): void {
    this.#head = (this.#head + 1) | 0;
    this.#known--;
  }

  /** Tells the producer how far this side has read, when that is worth a store. Once a batch. */
  commit(): void {
    if (((this.#head - this.#committed) | 0) <= this.#commitEvery) return;
    this.#committed = this.#head;
    Atomics.store(this.i32, HEAD, this.#head);
  }
}

/** The function's number in a slot's first word. */
export function functionOf(word: number): number {
  return word & ID_MASK;
}
