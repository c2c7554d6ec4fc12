/**
 * Locks of ranges of a disk, over all cores: while one is held nobody else changes the range; a quiescing one holds reads up too
 * (SPDK: bdev_lock_lba_range, spdk_bdev_quiesce_range).
 *
 * The app core keeps, for each disk, who holds what and who waits; overlapping locks follow each other in the order in which they were asked for. A lock that is due
 * is told to every core. From then on that core's gates (gates.ts) hold new I/Os back, and when what is under way there has drained it says so; after the last core
 * the lock is held. Letting go takes the same way round, and the next in line is due when every core has lifted the lock, so two that overlap are never both
 * applied anywhere.
 *
 * Why nothing slips through: an I/O of the range on some core was submitted before that core applied the lock, and then it is awaited, or after, and then it
 * is held back, for both happen in turns of the same core. What the holder itself submits goes in below the gates.
 *
 * A lock is a block of the shared heap, of the core that asked, from the question to the end; its pointer is the lock's name. One that an I/O needs may have what is kept for those (heap-reserve.ts); a
 * quiescing one may not, as its holder lets go when he likes.
 */
import { AllocSite } from '../env/alloc-site.ts';
import { assert } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import type { Ptr } from '../env/heap.ts';
import { currentReactor, localKey, type Reactor } from '../event/reactor.ts';
import type { Bdev } from './bdev.ts';
import type { BdevIo } from './bdev-io.ts';
import { heapReserve } from './heap-reserve.ts';
import { type Levelled, lockBlockRank, NO_RANK } from './io-rank.ts';
import { IO_COMPARE_AND_WRITE } from './io-type.ts';
import { LayerChild } from './layer-io.ts';
import { isHeldBy, type LockedRange, overlap } from './locked-range.ts';
import { type BdevManager, bdevManager, type Retry } from './manager.ts';
import { ENOMEM } from './status.ts';
import { offsetIn, type ThreadChannel } from './thread-channel.ts';

/** A lock's block: disk, flags, first byte and the byte after the last. */
const BYTES = 32;
const DRAIN_POLL_US = 20;
const site = new AllocSite('bdev_lba_lock');

/** From now on an I/O of a disk of that level can have its lock here, whatever is left of the heap. @throws {SpdkError} ENOMEM */
export function coverLocks(reactor: Reactor, disk: Levelled): void {
  reactor.local(heapReserve).cover(lockBlockRank(disk), BYTES, site);
}

/** A lock as its holder knows it. */
export interface LbaLock {
  /** Lets go; `done` is called when every core has lifted it. Once, and only when it is held. */
  release(done?: () => void): void;
}

/** One asker's locks. */
class Held implements LbaLock {
  readonly #reactor: Reactor;
  readonly ptr: Ptr;
  readonly granted: (status: number) => void;
  ended: () => void = () => {};
  /** Told to the asker, and not let go. */
  held = false;

  constructor(reactor: Reactor, ptr: Ptr, granted: (status: number) => void) {
    this.#reactor = reactor;
    this.ptr = ptr;
    this.granted = granted;
  }

  release(done: () => void = () => {}): void {
    assert(this.held, 'a lock is released once, when it is held');
    this.held = false;
    this.ended = done;
    this.#reactor.send(this.#reactor.app.mainCore, drop, this.ptr, 0, 0);
  }
}

/** On the app core: one lock that is applied, or waits. */
interface Entry {
  readonly range: LockedRange;
  readonly core: number;
  /** Cores that have yet to answer. */
  waitingFor: number;
}

const held = localKey('bdev_locks_held', () => new Map<number, Held>());
const tables = localKey('bdev_lock_tables', () => new Map<number, { readonly applied: Entry[]; waiting: Entry[] }>());

/**
 * Locks `bytes` from `byteOffset` on, for `who`. `granted` is called on this core, later: with 0 when the lock is held, or -ENOMEM when the shared heap has no room, and then
 * there is none.
 */
export function lockRange(
  bdev: Bdev,
  byteOffset: number,
  bytes: number,
  quiesce: boolean,
  granted: (status: number) => void,
  who: unknown = null,
): LbaLock {
  const { reactor } = bdev.manager;
  const { heap } = reactor;
  const ptr = reactor.local(heapReserve).take(BYTES, quiesce ? NO_RANK : lockBlockRank(bdev), who, site);
  if (ptr === 0) {
    bdev.manager.retryAfter(0, { retry: () => granted(ENOMEM) });
    return new Held(reactor, 0 as Ptr, granted);
  }
  heap.i32[ptr >>> 2] = bdev.id;
  heap.i32[(ptr >>> 2) + 1] = quiesce ? 1 : 0;
  heap.f64[(ptr >>> 3) + 1] = byteOffset;
  heap.f64[(ptr >>> 3) + 2] = byteOffset + bytes;
  const lock = new Held(reactor, ptr, granted);
  reactor.local(held).set(ptr, lock);
  reactor.send(reactor.app.mainCore, ask, ptr, reactor.core, 0);
  return lock;
}

function rangeAt(reactor: Reactor, ptr: number): LockedRange {
  const { heap } = reactor;
  return {
    ptr,
    start: heap.f64[(ptr >>> 3) + 1],
    end: heap.f64[(ptr >>> 3) + 2],
    quiesce: heap.i32[(ptr >>> 2) + 1] !== 0,
  };
}

function tableOf(reactor: Reactor, ptr: number) {
  const all = reactor.local(tables);
  const id = reactor.heap.i32[ptr >>> 2];
  let table = all.get(id);
  if (table === undefined) {
    table = { applied: [], waiting: [] };
    all.set(id, table);
  }
  return { table, forget: () => void (table.applied.length + table.waiting.length === 0 && all.delete(id)) };
}

/** Those that wait for one range overlap the one that has it, which is found first: a long queue costs each of them a look. */
function overlapsOneOf(entries: readonly Entry[], { range }: Entry): boolean {
  return entries.some((other) => overlap(other.range, range));
}

function applyTo(reactor: Reactor, entry: Entry): void {
  entry.waitingFor = reactor.cores.length;
  for (const core of reactor.cores) reactor.send(core, apply, entry.range.ptr, 0, 0);
}

const ask = defineEvent('bdev.lock.ask', (ptr, core) => {
  const reactor = currentReactor();
  const { table } = tableOf(reactor, ptr);
  const entry: Entry = { range: rangeAt(reactor, ptr), core, waitingFor: 0 };
  if (overlapsOneOf(table.applied, entry) || overlapsOneOf(table.waiting, entry)) {
    table.waiting.push(entry);
    return;
  }
  table.applied.push(entry);
  applyTo(reactor, entry);
});

const apply = defineEvent('bdev.lock.apply', (ptr) => {
  const reactor = currentReactor();
  const manager = reactor.local(bdevManager);
  const bdev = manager.byId.get(reactor.heap.i32[ptr >>> 2]);
  const range = rangeAt(reactor, ptr);
  bdev?.lock(range);
  new Drain(manager, bdev, range).retry();
});

/** Waits until what was under way in the range on this core is over. */
class Drain implements Retry {
  readonly #manager: BdevManager;
  readonly #bdev: Bdev | undefined;
  readonly #range: LockedRange;

  constructor(manager: BdevManager, bdev: Bdev | undefined, range: LockedRange) {
    this.#manager = manager;
    this.#bdev = bdev;
    this.#range = range;
  }

  retry(): void {
    const { reactor, pool } = this.#manager;
    if (this.#bdev !== undefined && this.#isBusy(this.#bdev, pool.all)) this.#manager.retryAfter(DRAIN_POLL_US, this);
    else reactor.send(reactor.app.mainCore, applied, this.#range.ptr, 0, 0);
  }

  #isBusy(bdev: Bdev, all: readonly BdevIo[]): boolean {
    const range = this.#range;
    for (const { windows } of bdev.channels) if (windows.overlap(range.start, range.end)) return true;
    for (const io of all) {
      for (const channel of bdev.channels) {
        const at = offsetIn(io, channel);
        if (at < 0 || !isHeldBy(io, at, range, bdev.lockedTypes)) continue;
        if (io.sink !== channel || !this.#countsOtherwise(io, channel)) return true;
      }
    }
    return false;
  }

  /** A piece's parent is looked at; the layer's own compare-and-write has a lock itself, or waits for one, this one perhaps; and what a gate holds has not begun. */
  #countsOtherwise(io: BdevIo, { bdev, gates }: ThreadChannel): boolean {
    if (io.ctx instanceof LayerChild || gates?.holds(io) === true) return true;
    return io.type === IO_COMPARE_AND_WRITE && (bdev.lockedTypes & (1 << io.type)) === 0;
  }
}

const applied = defineEvent('bdev.lock.applied', (ptr) => {
  const reactor = currentReactor();
  const { table } = tableOf(reactor, ptr);
  const entry = table.applied.find(({ range }) => range.ptr === ptr) as Entry;
  if (--entry.waitingFor === 0) reactor.send(entry.core, granted, ptr, 0, 0);
});

const granted = defineEvent('bdev.lock.granted', (ptr) => {
  const lock = currentReactor().local(held).get(ptr) as Held;
  lock.held = true;
  lock.granted(0);
});

const drop = defineEvent('bdev.lock.drop', (ptr) => {
  const reactor = currentReactor();
  const { table } = tableOf(reactor, ptr);
  const entry = table.applied.find(({ range }) => range.ptr === ptr) as Entry;
  entry.waitingFor = reactor.cores.length;
  for (const core of reactor.cores) reactor.send(core, lift, ptr, 0, 0);
});

const lift = defineEvent('bdev.lock.lift', (ptr) => {
  const reactor = currentReactor();
  reactor
    .local(bdevManager)
    .byId.get(reactor.heap.i32[ptr >>> 2])
    ?.unlock(ptr);
  reactor.send(reactor.app.mainCore, lifted, ptr, 0, 0);
});

const lifted = defineEvent('bdev.lock.lifted', (ptr) => {
  const reactor = currentReactor();
  const { table, forget } = tableOf(reactor, ptr);
  const at = table.applied.findIndex(({ range }) => range.ptr === ptr);
  const entry = table.applied[at];
  if (--entry.waitingFor > 0) return;
  table.applied.splice(at, 1);
  const still: Entry[] = [];
  for (const next of table.waiting) {
    if (overlapsOneOf(table.applied, next) || overlapsOneOf(still, next)) {
      still.push(next);
      continue;
    }
    table.applied.push(next);
    applyTo(reactor, next);
  }
  table.waiting = still;
  forget();
  reactor.send(entry.core, ended, ptr, 0, 0);
});

const ended = defineEvent('bdev.lock.ended', (ptr) => {
  const reactor = currentReactor();
  const locks = reactor.local(held);
  const lock = locks.get(ptr) as Held;
  locks.delete(ptr);
  reactor.local(heapReserve).free(lock.ptr);
  lock.ended();
});
