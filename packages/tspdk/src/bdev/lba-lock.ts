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
 * A lock is a block of the shared heap, of the core that asked, from the question to the end; its pointer is the lock's name.
 */
import { AllocSite } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import type { Ptr } from '../env/heap.ts';
import { currentReactor, localKey, type Reactor } from '../event/reactor.ts';
import type { Bdev } from './bdev.ts';
import type { BdevIo } from './bdev-io.ts';
import { IO_COMPARE_AND_WRITE, LOCKED_TYPES } from './io-type.ts';
import { LayerChild, LayerIo } from './layer-io.ts';
import { type BdevManager, bdevManager, type Retry } from './manager.ts';
import { ENOMEM } from './status.ts';
import { offsetIn, type ThreadChannel } from './thread-channel.ts';

/** A lock's block: disk, flags, first byte and the byte after the last. */
const BYTES = 32;
const DRAIN_POLL_US = 20;
const site = new AllocSite('bdev_lba_lock');

/** A range that is locked, as each core knows it. */
export interface LockedRange {
  readonly ptr: number;
  readonly start: number;
  readonly end: number;
  /** Reads wait too. */
  readonly quiesce: boolean;
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

  constructor(reactor: Reactor, ptr: Ptr, granted: (status: number) => void) {
    this.#reactor = reactor;
    this.ptr = ptr;
    this.granted = granted;
  }

  release(done: () => void = () => {}): void {
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
const tables = localKey(
  'bdev_lock_tables',
  () => new Map<number, { readonly applied: Entry[]; readonly waiting: Entry[] }>(),
);

/**
 * Locks `bytes` from `byteOffset` on. `granted` is called on this core, later: with 0 when the lock is held, or -ENOMEM when the shared heap has no room, and then
 * there is none.
 */
export function lockRange(
  bdev: Bdev,
  byteOffset: number,
  bytes: number,
  quiesce: boolean,
  granted: (status: number) => void,
): LbaLock {
  const { reactor } = bdev.manager;
  const { heap } = reactor;
  let ptr: Ptr;
  try {
    ptr = heap.alloc(BYTES, site);
  } catch (error) {
    if (!(error instanceof SpdkError && error.code === 'ENOMEM')) throw error;
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

const overlap = (a: LockedRange, b: LockedRange): boolean => a.start < b.end && b.start < a.end;

function applyTo(reactor: Reactor, entry: Entry): void {
  entry.waitingFor = reactor.cores.length;
  for (const core of reactor.cores) reactor.send(core, apply, entry.range.ptr, 0, 0);
}

const ask = defineEvent('bdev.lock.ask', (ptr, core) => {
  const reactor = currentReactor();
  const { table } = tableOf(reactor, ptr);
  const entry: Entry = { range: rangeAt(reactor, ptr), core, waitingFor: 0 };
  const before = [...table.applied, ...table.waiting];
  if (before.some((other) => overlap(other.range, entry.range))) {
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
    const { start, end, quiesce } = this.#range;
    for (const { windows } of this.#bdev?.channels ?? []) {
      if (!windows.overlap(start, end)) continue;
      this.#manager.retryAfter(DRAIN_POLL_US, this);
      return;
    }
    for (const io of pool.all) {
      if (!quiesce && (LOCKED_TYPES & (1 << io.type)) === 0) continue;
      for (const channel of this.#bdev?.channels ?? []) {
        const at = offsetIn(io, channel);
        if (at < 0 || at >= end || at + io.bytes <= start) continue;
        if (io.sink === channel && this.#countsOtherwise(io, channel)) continue;
        this.#manager.retryAfter(DRAIN_POLL_US, this);
        return;
      }
    }
    reactor.send(reactor.app.mainCore, applied, this.#range.ptr, 0, 0);
  }

  /** A piece's parent is looked at; a compare-and-write of the layer's has a lock of its own, or waits for one, this one perhaps; and what a gate holds has not begun. */
  #countsOtherwise(io: BdevIo, { gates }: ThreadChannel): boolean {
    const locks = io.type === IO_COMPARE_AND_WRITE && io.driver instanceof LayerIo;
    return io.ctx instanceof LayerChild || locks || gates?.holds(io) === true;
  }
}

const applied = defineEvent('bdev.lock.applied', (ptr) => {
  const reactor = currentReactor();
  const { table } = tableOf(reactor, ptr);
  const entry = table.applied.find(({ range }) => range.ptr === ptr) as Entry;
  if (--entry.waitingFor === 0) reactor.send(entry.core, granted, ptr, 0, 0);
});

const granted = defineEvent('bdev.lock.granted', (ptr) => {
  (currentReactor().local(held).get(ptr) as Held).granted(0);
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
  for (const next of [...table.waiting]) {
    const before = [...table.applied, ...table.waiting.slice(0, table.waiting.indexOf(next))];
    if (before.some((other) => overlap(other.range, next.range))) continue;
    table.waiting.splice(table.waiting.indexOf(next), 1);
    table.applied.push(next);
    applyTo(reactor, next);
  }
  forget();
  reactor.send(entry.core, ended, ptr, 0, 0);
});

const ended = defineEvent('bdev.lock.ended', (ptr) => {
  const reactor = currentReactor();
  const locks = reactor.local(held);
  const lock = locks.get(ptr) as Held;
  locks.delete(ptr);
  reactor.heap.free(lock.ptr);
  lock.ended();
});
