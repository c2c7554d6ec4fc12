/**
 * I/O buffers: 4 KiB-aligned slices of shared memory, small (8 KiB) and large (132 KiB), from a pool that all cores share.
 *
 * Each core keeps a cache, so most gets and puts touch nothing shared. Out of buffers means wait, never fail: a waiter queues in
 * order of arrival on its core and gets the next buffer that comes back. SPDK: spdk_iobuf_get, spdk_iobuf_put.
 *
 * No waiter is forgotten when the buffers are on other cores. A core that queues its first waiter sets its `starving` word to WANTS and asks the
 * others to spill their caches (`askSpill`). Whoever puts a buffer in the shared ring then looks at those words, and tells one core that
 * WANTS (`tellAvailable`); its word is TOLD from then on, so that the next buffer is told to another. A put while any word is set goes to
 * the ring, not to a cache. The word is set before the starving core looks at the ring once more, and the ring is filled before the word
 * is read, so one of the two sees the other. A core that was told and has no waiter any more (its own put served them) passes the word on.
 * A ring can refuse a buffer for a moment, while another core is between the two steps of taking one: then it stays here and is spilled later.
 *
 * Waiting is safe for who holds nothing. An I/O that needs a large buffer on the way, while whoever submitted it holds one already, might wait for what waits for it; so it may
 * have one of the core's reserve when the pool has none (`getLargeOf`). The reserve has one buffer a rank, and a rank's buffer is only ever waited for by others of that
 * rank. Ranks are the caller's: who has the buffer of one may wait for those of lower ranks, and for nothing else that waits for buffers. Then the lowest
 * rank's buffer always comes back, and by induction every rank's (bdev/io-rank.ts).
 *
 * A buffer's state word holds who has it (core + 1), 0 while it is in the pool: a second put is EDOUBLEFREE, and what is still
 * out when the application ends is a leak with a name.
 */
import { SpdkError } from './errors.ts';
import { limits } from './limits.ts';
import { sanitizer } from './sanitizer.ts';
import { alignedOffset, type Segment } from './segment.ts';
import { SharedRing, sharedRingBytes } from './shared-ring.ts';

/** A core's `starving` word: nobody waits there; somebody does; somebody does, and a buffer was announced that was not looked for yet. */
const CONTENT = 0;
const WANTS = 1;
const TOLD = 2;

/** One kind's share of the pool, as all cores see it. */
export interface IoBufKind {
  readonly count: number;
  readonly bytes: number;
  /** Buffers a core keeps for itself. */
  readonly cache: number;
  readonly data: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
  readonly ringCapacity: number;
  /** One word a buffer: core + 1 of the holder, 0 when pooled. */
  readonly states: SharedArrayBuffer;
}

/** The shared memory of a pool. */
export interface IoBufMemory {
  readonly small: IoBufKind;
  readonly large: IoBufKind;
  /** A word a core and kind: CONTENT, WANTS or TOLD. */
  readonly starving: SharedArrayBuffer;
}

/** Sizes of a pool; SPDK's iobuf_set_options. */
export interface IoBufOptions {
  readonly smallCount?: number;
  readonly largeCount?: number;
  readonly smallBytes?: number;
  readonly largeBytes?: number;
  readonly smallCache?: number;
  readonly largeCache?: number;
}

/**
 * Makes the shared memory of a pool for `cores` reactors.
 * @throws {SpdkError} EINVAL for counts or sizes out of range.
 */
export function createIoBufMemory(cores: number, options: IoBufOptions = {}): IoBufMemory {
  const small = makeKind(
    'small',
    options.smallCount ?? limits.iobuf_small_count,
    options.smallBytes ?? limits.iobuf_small_bytes,
    options.smallCache ?? limits.iobuf_small_cache,
    cores,
  );
  const large = makeKind(
    'large',
    options.largeCount ?? limits.iobuf_large_count,
    options.largeBytes ?? limits.iobuf_large_bytes,
    options.largeCache ?? limits.iobuf_large_cache,
    cores,
  );
  return { small, large, starving: new SharedArrayBuffer(cores * 2 * 4) };
}

function makeKind(name: string, count: number, bytes: number, cache: number, cores: number): IoBufKind {
  if (!Number.isInteger(count) || count < 1)
    throw new SpdkError('EINVAL', `iobuf ${name} pool of ${count} buffers, at least 1`);
  if (!Number.isInteger(bytes) || bytes < 4096 || bytes % limits.iobuf_align_bytes !== 0) {
    throw new SpdkError('EINVAL', `iobuf ${name} size ${bytes}: not a multiple of ${limits.iobuf_align_bytes}`);
  }
  const ringCapacity = 2 ** Math.max(1, Math.ceil(Math.log2(count)));
  const ring = new SharedArrayBuffer(sharedRingBytes(ringCapacity));
  const filled = new SharedRing(ring, ringCapacity, true);
  for (let i = 0; i < count; i++) filled.push(i);
  return {
    count,
    bytes,
    // The caches of all cores together never hold more than half the pool.
    cache: Math.min(cache, Math.floor(count / (2 * cores))),
    data: new SharedArrayBuffer(count * bytes + limits.iobuf_align_bytes),
    ring,
    ringCapacity,
    states: new SharedArrayBuffer(count * 4),
  };
}

/** One buffer as one reactor sees it; the objects are made once and reused. */
export interface IoBuf {
  readonly segment: Segment;
  readonly offset: number;
  readonly sizeBytes: number;
  /** Number within its kind. */
  readonly index: number;
  readonly large: boolean;
}

/** Someone who waits for a buffer; an object that its owner keeps and reuses. */
export interface IoBufWaiter {
  /** Called once, with the buffer; perhaps before `waitSmall` or `waitLarge` returns. */
  onBuf(buf: IoBuf): void;
  /** The pool's: next in the queue. */
  nextWaiter?: IoBufWaiter | null;
  /** What `getLargeOf` was asked for, by who may have the reserve's too. */
  readonly bufRank?: number;
}

/** Counters of one kind on one core. */
export interface IoBufStats {
  /** Gets served by the core's cache. */
  cache: number;
  /** Gets served by the shared pool. */
  main: number;
  /** Gets that had to wait. */
  retry: number;
}

/** One kind of buffer on one core. */
class CoreKind {
  readonly stats: IoBufStats = { cache: 0, main: 0, retry: 0 };
  readonly #kind: IoBufKind;
  readonly #large: boolean;
  readonly #core: number;
  readonly #segment: Segment;
  readonly #base: number;
  readonly #ring: SharedRing;
  readonly #states: Int32Array;
  readonly #starving: Int32Array;
  readonly #word: number;
  readonly #cores: number;
  /** This core's reserve, by rank, and whether each is out. */
  readonly #reserve: IoBuf[] = [];
  readonly #reserveOut: boolean[] = [];
  readonly #cache: Int32Array;
  readonly #bufs: (IoBuf | undefined)[];
  readonly #port: IoBufPort;
  #cached = 0;
  #first: IoBufWaiter | null = null;
  #last: IoBufWaiter | null = null;

  constructor(
    memory: IoBufMemory,
    large: boolean,
    index: number,
    cores: number,
    core: number,
    segment: Segment,
    port: IoBufPort,
  ) {
    const kind = large ? memory.large : memory.small;
    this.#kind = kind;
    this.#large = large;
    this.#core = core;
    this.#segment = segment;
    this.#base = segment.address === 0 ? 0 : alignedOffset(segment, limits.iobuf_align_bytes);
    this.#ring = new SharedRing(kind.ring, kind.ringCapacity, false);
    this.#states = new Int32Array(kind.states);
    this.#starving = new Int32Array(memory.starving);
    this.#cores = cores;
    this.#word = (large ? cores : 0) + index;
    // Room for all: what the ring refuses for a moment stays here.
    this.#cache = new Int32Array(kind.count);
    this.#bufs = new Array<IoBuf | undefined>(kind.count);
    this.#port = port;
  }

  get(): IoBuf | null {
    // Those who already wait go first.
    if (this.#first !== null) return null;
    return this.#take();
  }

  /** The next ranks' buffers. Their numbers are behind those of the pool. */
  addReserve(segment: Segment, offset: number, ranks: number): void {
    const { bytes, count } = this.#kind;
    for (let i = 0; i < ranks; i++) {
      const index = count + this.#reserve.length;
      this.#reserve.push({ segment, offset: offset + i * bytes, sizeBytes: bytes, index, large: this.#large });
      this.#reserveOut.push(false);
    }
  }

  /** Forgets the reserve. How many of it are still out. */
  dropReserve(): number {
    this.#reserve.length = 0;
    return this.#reserveOut.splice(0).filter((out) => out).length;
  }

  /** The reserve's buffer of a rank; null while it is out, or when there is none. */
  reserved(rank: number): IoBuf | null {
    if (this.#reserveOut[rank] !== false) return null;
    this.#reserveOut[rank] = true;
    return this.#fromReserve(rank);
  }

  #fromReserve(rank: number): IoBuf {
    const buf = this.#reserve[rank];
    if (sanitizer !== null) sanitizer.alloc('pool', 'iobuf', buf.segment.u8, buf.offset, buf.sizeBytes);
    return buf;
  }

  wait(waiter: IoBufWaiter): void {
    this.stats.retry++;
    waiter.nextWaiter = null;
    if (this.#last === null) this.#first = waiter;
    else this.#last.nextWaiter = waiter;
    this.#last = waiter;
    if (this.#first !== waiter) return;
    Atomics.store(this.#starving, this.#word, WANTS);
    this.#port.askSpill(this.#large);
    this.serve();
  }

  cancel(waiter: IoBufWaiter): boolean {
    let before: IoBufWaiter | null = null;
    for (let at = this.#first; at !== null; before = at, at = at.nextWaiter ?? null) {
      if (at !== waiter) continue;
      if (before === null) this.#first = at.nextWaiter ?? null;
      else before.nextWaiter = at.nextWaiter ?? null;
      if (this.#last === at) this.#last = before;
      at.nextWaiter = null;
      if (this.#first === null) Atomics.store(this.#starving, this.#word, CONTENT);
      return true;
    }
    return false;
  }

  put(buf: IoBuf): void {
    if (buf.index >= this.#kind.count) {
      this.#putReserved(buf);
      return;
    }
    if (Atomics.exchange(this.#states, buf.index, 0) === 0) {
      const kind = this.#large ? 'large' : 'small';
      throw new SpdkError(
        'EDOUBLEFREE',
        `${kind} I/O buffer ${buf.index} put on core ${this.#core}: it is already in the pool`,
      );
    }
    if (sanitizer !== null) sanitizer.free(this.#segment.u8, (this.#bufs[buf.index] ?? this.#make(buf.index)).offset);
    const waiter = this.#first;
    if (waiter !== null) {
      this.#shift();
      waiter.onBuf(this.#hand(buf.index));
      return;
    }
    if (this.#cached < this.#kind.cache && !this.#anyStarving()) this.#cache[this.#cached++] = buf.index;
    else this.#share(buf.index);
  }

  /** The next of that rank has it, wherever it stands in the queue. */
  #putReserved(buf: IoBuf): void {
    const rank = buf.index - this.#kind.count;
    if (this.#reserveOut[rank] !== true) {
      throw new SpdkError('EDOUBLEFREE', `I/O buffer of rank ${rank} put on core ${this.#core}: it is in the reserve`);
    }
    if (sanitizer !== null) sanitizer.free(buf.segment.u8, buf.offset);
    for (let at = this.#first; at !== null; at = at.nextWaiter ?? null) {
      if (at.bufRank !== rank) continue;
      this.cancel(at);
      at.onBuf(this.#fromReserve(rank));
      return;
    }
    this.#reserveOut[rank] = false;
  }

  /** Gives buffers that have become available to those who wait here. */
  serve(): void {
    while (this.#first !== null) {
      const buf = this.#take();
      if (buf === null) {
        // Told or not, from now on it has to be told again; then look once more.
        if (Atomics.exchange(this.#starving, this.#word, WANTS) === WANTS) return;
        continue;
      }
      const waiter = this.#first;
      this.#shift();
      waiter.onBuf(buf);
    }
  }

  /** Another core said that there may be a buffer. */
  told(): void {
    this.serve();
    if (this.#first === null) this.#tellOne();
  }

  /** Another core starves: what is cached here goes to the shared ring. */
  spill(): void {
    while (this.#cached > 0) if (!this.#share(this.#cache[--this.#cached])) return;
  }

  #take(): IoBuf | null {
    let index: number;
    if (this.#cached > 0) {
      index = this.#cache[--this.#cached];
      this.stats.cache++;
    } else {
      index = this.#ring.take();
      if (index < 0) return null;
      this.stats.main++;
    }
    return this.#hand(index);
  }

  #hand(index: number): IoBuf {
    Atomics.store(this.#states, index, this.#core + 1);
    const buf = this.#bufs[index] ?? this.#make(index);
    if (sanitizer !== null) sanitizer.alloc('pool', 'iobuf', this.#segment.u8, buf.offset, buf.sizeBytes);
    return buf;
  }

  #make(index: number): IoBuf {
    const { bytes } = this.#kind;
    const buf = {
      segment: this.#segment,
      offset: this.#base + index * bytes,
      sizeBytes: bytes,
      index,
      large: this.#large,
    };
    this.#bufs[index] = buf;
    return buf;
  }

  #shift(): void {
    const waiter = this.#first as IoBufWaiter;
    this.#first = waiter.nextWaiter ?? null;
    waiter.nextWaiter = null;
    if (this.#first !== null) return;
    this.#last = null;
    Atomics.store(this.#starving, this.#word, CONTENT);
  }

  #anyStarving(): boolean {
    const from = this.#large ? this.#cores : 0;
    for (let i = 0; i < this.#cores; i++) if (Atomics.load(this.#starving, from + i) !== CONTENT) return true;
    return false;
  }

  /** Gives a buffer to all cores. False when the ring refused it: then it is cached here, and spilled later if anybody starves. */
  #share(index: number): boolean {
    if (this.#ring.push(index)) {
      this.#tellOne();
      return true;
    }
    this.#cache[this.#cached++] = index;
    if (this.#anyStarving()) this.#port.spillLater(this.#large);
    return false;
  }

  /** Tells one core that wants a buffer that there may be one. */
  #tellOne(): void {
    const starving = this.#starving;
    const from = this.#large ? this.#cores : 0;
    for (let i = 0; i < this.#cores; i++) {
      if (Atomics.load(starving, from + i) !== WANTS) continue;
      if (Atomics.compareExchange(starving, from + i, WANTS, TOLD) !== WANTS) continue;
      this.#port.tellAvailable(i, this.#large);
      return;
    }
  }
}

/** How a pool reaches the other cores. */
export interface IoBufPort {
  /** Asks every other core to `spill`. */
  askSpill(large: boolean): void;
  /** Asks this core to `spill`, soon. */
  spillLater(large: boolean): void;
  /** Tells the core at position `index` to `serve`. */
  tellAvailable(index: number, large: boolean): void;
}

/** The pool as one core uses it. That core's thread only. */
export class IoBufChannel {
  readonly #small: CoreKind;
  readonly #large: CoreKind;
  readonly #smallBytes: number;
  readonly #largeBytes: number;

  /** @param index position of the core among the application's `cores`. */
  constructor(options: {
    memory: IoBufMemory;
    index: number;
    cores: number;
    core: number;
    small: Segment;
    large: Segment;
    port: IoBufPort;
  }) {
    const { memory, index, cores, core, port } = options;
    this.#small = new CoreKind(memory, false, index, cores, core, options.small, port);
    this.#large = new CoreKind(memory, true, index, cores, core, options.large, port);
    this.#smallBytes = memory.small.bytes;
    this.#largeBytes = memory.large.bytes;
  }

  /** Bytes of a small and of a large buffer. */
  get smallBytes(): number {
    return this.#smallBytes;
  }
  get largeBytes(): number {
    return this.#largeBytes;
  }

  /** A small buffer, or null: then `waitSmall`. Contents are whatever was there. */
  getSmall(): IoBuf | null {
    return this.#small.get();
  }
  /** A large buffer, or null: then `waitLarge`. */
  getLarge(): IoBuf | null {
    return this.#large.get();
  }
  /** Memory for the next `ranks` ranks of the reserve, a large buffer each. */
  addReserve(segment: Segment, offset: number, ranks: number): void {
    this.#large.addReserve(segment, offset, ranks);
  }
  /** Forgets the reserve. How many of it are still out. */
  dropReserve(): number {
    return this.#large.dropReserve();
  }
  /** A large buffer for who may be waited for by one who has a large buffer already; null: then `waitLarge`, with `bufRank`. */
  getLargeOf(rank: number): IoBuf | null {
    return this.#large.get() ?? this.#large.reserved(rank);
  }
  /** Queues `waiter` behind those who wait; it may be served before this returns. */
  waitSmall(waiter: IoBufWaiter): void {
    this.#small.wait(waiter);
  }
  waitLarge(waiter: IoBufWaiter): void {
    this.#large.wait(waiter);
  }
  /** Takes a waiter out of its queue; false when it is in none (any more). */
  cancelWait(waiter: IoBufWaiter): boolean {
    return this.#small.cancel(waiter) || this.#large.cancel(waiter);
  }
  /**
   * Gives a buffer back, on any core; one of the reserve on its own. The first who waits on this core gets it.
   * @throws {SpdkError} EDOUBLEFREE when it is in the pool already.
   */
  put(buf: IoBuf): void {
    (buf.large ? this.#large : this.#small).put(buf);
  }
  /** A core asked for what is cached here. */
  spill(large: boolean): void {
    (large ? this.#large : this.#small).spill();
  }
  /** Buffers may have become available. */
  serve(large: boolean): void {
    (large ? this.#large : this.#small).told();
  }
  /** Counters of this core. */
  stats(): { small: IoBufStats; large: IoBufStats } {
    return { small: { ...this.#small.stats }, large: { ...this.#large.stats } };
  }
}

/** Buffers that are not in the pool, by the core that took them. For the end of an application. */
export function heldIoBufs(memory: IoBufMemory): { core: number; kind: 'small' | 'large'; count: number }[] {
  const held: { core: number; kind: 'small' | 'large'; count: number }[] = [];
  for (const kind of ['small', 'large'] as const) {
    const byCore = new Map<number, number>();
    for (const word of new Int32Array(memory[kind].states))
      if (word !== 0) byCore.set(word - 1, (byCore.get(word - 1) ?? 0) + 1);
    for (const [core, count] of byCore) held.push({ core, kind, count });
  }
  return held;
}
