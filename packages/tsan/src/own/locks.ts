// Annotated locks: the rules of SPDK's spinlock (lib/thread/thread.c, SPIN_ERR_*), the order that a lock makes between its holders, and the order in which
// locks are taken: where two are ever taken in both orders, some schedule never ends.

import type { Access, Lock, Op, Report } from '../report/report.ts';
import { Header, maxLocks, maxOrders, orderInts, recordInts } from '../runtime/control.ts';
import { acquireLock, releaseLock } from '../runtime/lock.ts';
import { threadsOf } from '../runtime/race.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { framesOf } from '../runtime/sites.ts';
import {
  acquire,
  annotatedField,
  findVariable,
  Key,
  lockField,
  lockVariable,
  releaseMerging,
  unlock,
  type Variable,
} from '../runtime/sync.ts';
import { appendText, readText } from '../runtime/text.ts';
import { sharedPlaceOf, type Target } from './record.ts';

const { compareExchange, load } = Atomics;

const Field = { state: 0, holder: 1, word: 2, creatorWord: 3, name: 4, creator: 5, last: 6 } as const;
const State = { unknown: 0, created: 1, destroyed: 2 } as const;
const nobody = -1;

interface Held {
  readonly lock: number;
  readonly word: number;
}

export class Locks {
  readonly #runtime: Runtime;
  readonly #locks: Int32Array;
  #held: Held[] = [];

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#locks = runtime.control.locks;
  }

  created(target: Target, index: number, name: string): void {
    const lock = this.#of(target, index, true);
    if (lock === undefined) return;
    const at = lock.id * recordInts;
    const { control, clock } = this.#runtime;
    this.#locks[at + Field.state] = State.created;
    this.#locks[at + Field.holder] = nobody;
    this.#locks[at + Field.creator] = clock.uid;
    this.#locks[at + Field.creatorWord] = this.#word();
    this.#locks[at + Field.name] = name === '' ? 0 : appendText(control, name);
  }

  /** Before the thread spins for it. */
  acquiring(target: Target, index: number): void {
    const lock = this.#of(target, index, false);
    if (lock === undefined) {
      this.#misuse(0, 'lock', 'use of a lock that is not initialised', 'a lock is created before it is used');
      return;
    }
    const at = lock.id * recordInts;
    if (this.#locks[at + Field.state] === State.destroyed) {
      this.#misuse(lock.id, 'lock', 'use of a destroyed mutex', 'a lock is not used after it was destroyed');
    } else if (this.#locks[at + Field.holder] === this.#runtime.clock.uid) {
      this.#misuse(lock.id, 'lock', 'double lock of a mutex', 'its holder would wait for itself');
    }
    for (const { lock: held, word } of this.#held) if (held !== lock.id) this.#order(held, lock.id, word);
  }

  acquired(target: Target, index: number): void {
    const lock = this.#of(target, index, false);
    if (lock === undefined) return;
    const { clock } = this.#runtime;
    const at = lock.id * recordInts;
    const word = this.#word();
    this.#locks[at + Field.holder] = clock.uid;
    this.#locks[at + Field.last] = clock.uid;
    this.#locks[at + Field.word] = word;
    this.#held = [...this.#held.filter((each) => each.lock !== lock.id), { lock: lock.id, word }];
    lockVariable(clock, lock.variable);
    try {
      acquire(clock, lock.variable);
    } finally {
      unlock(clock.control.syncInts, lock.variable + lockField, clock.holder, 0);
    }
  }

  /** Before others can have it. */
  released(target: Target, index: number): void {
    const lock = this.#of(target, index, false);
    if (lock === undefined) {
      this.#misuse(0, 'unlock', 'use of a lock that is not initialised', 'a lock is created before it is used');
      return;
    }
    const { clock } = this.#runtime;
    const at = lock.id * recordInts;
    const holder = this.#locks[at + Field.holder]!;
    if (this.#locks[at + Field.state] === State.destroyed) {
      this.#misuse(lock.id, 'unlock', 'use of a destroyed mutex', 'a lock is not used after it was destroyed');
    } else if (holder === nobody) {
      this.#misuse(lock.id, 'unlock', 'unlock of an unlocked mutex', 'only what is locked can be unlocked');
    } else if (holder !== clock.uid) {
      this.#misuse(lock.id, 'unlock', 'unlock of a mutex by a wrong thread', 'who locked it unlocks it');
    }
    this.#locks[at + Field.holder] = nobody;
    this.#held = this.#held.filter((each) => each.lock !== lock.id);
    lockVariable(clock, lock.variable);
    try {
      releaseMerging(clock, lock.variable);
    } finally {
      unlock(clock.control.syncInts, lock.variable + lockField, clock.holder, 0);
    }
    clock.tick();
  }

  destroyed(target: Target, index: number): void {
    const lock = this.#of(target, index, false);
    if (lock === undefined) {
      this.#misuse(0, 'destroy', 'use of a lock that is not initialised', 'a lock is created before it is used');
      return;
    }
    const at = lock.id * recordInts;
    if (this.#locks[at + Field.state] === State.destroyed) {
      this.#misuse(lock.id, 'destroy', 'use of a destroyed mutex', 'a lock is destroyed once');
    } else if (this.#locks[at + Field.holder] !== nobody) {
      this.#misuse(lock.id, 'destroy', 'destroy of a locked mutex', 'a lock is destroyed when nobody holds it');
    }
    this.#locks[at + Field.state] = State.destroyed;
    this.#held = this.#held.filter((each) => each.lock !== lock.id);
  }

  /** Code that must not keep a lock (a poller, a message) has returned. */
  returned(): void {
    for (const { lock } of this.#held) {
      this.#misuse(lock, 'unlock', 'lock held across a return', 'a poller or message gives back the locks it took');
    }
    this.#held = [];
  }

  /** Ids of the locks this thread holds, for a report. */
  held(): number[] {
    return this.#held.map(({ lock }) => lock);
  }

  #word(): number {
    return this.#runtime.captureWord(this.#runtime.site[0]!);
  }

  #of(target: Target, index: number, make: boolean): { readonly id: number; readonly variable: Variable } | undefined {
    const { control } = this.#runtime;
    const place = sharedPlaceOf(this.#runtime, target, index);
    if (place === undefined) return undefined;
    const variable = findVariable(
      control,
      place.buffer.heads,
      Math.floor(place.offset / 4),
      Key.lock | ((place.offset & 3) << 8),
    );
    if (variable === 0) return undefined;
    const known = load(control.syncInts, variable + annotatedField);
    if (known !== 0) return { id: known, variable };
    if (!make) return undefined;
    const id = control.take(Header.nextLock);
    if (id >= maxLocks) return undefined;
    const before = compareExchange(control.syncInts, variable + annotatedField, 0, id);
    return { id: before === 0 ? id : before, variable };
  }

  #describe(id: number): Lock {
    const at = id * recordInts;
    const { control } = this.#runtime;
    const name = readText(control, this.#locks[at + Field.name]!);
    return { id, ...(name === '' ? {} : { name }), stack: framesOf(control, this.#locks[at + Field.creatorWord]!) };
  }

  #misuse(id: number, op: Op, title: string, rule: string): void {
    const runtime = this.#runtime;
    const { control, clock, site } = runtime;
    const accesses: Access[] = [
      { op, size: 0, offset: 0, thread: clock.uid, stack: runtime.stack(site[0]!), locks: this.held() },
    ];
    const at = id * recordInts;
    const last = id === 0 ? clock.uid : this.#locks[at + Field.last]!;
    if (id !== 0 && this.#locks[at + Field.word] !== 0) {
      const stack = framesOf(control, this.#locks[at + Field.word]!);
      accesses.push({ op: 'lock', size: 0, offset: 0, thread: last, stack });
    }
    const locks = id === 0 ? [] : [this.#describe(id)];
    runtime.emit({ kind: 'lock', title, rule, accesses, locks, threads: threadsOf(runtime, [clock.uid, last]) });
  }

  /** Notes that `taken` is being taken by who holds `held`; a way back from it to `held` is an inversion. */
  #order(held: number, taken: number, heldWord: number): void {
    const { control, clock } = this.#runtime;
    const { orders, header } = control;
    let way: number[] | undefined;
    const takenWord = this.#word();
    acquireLock(control, header, Header.graphLock, clock.holder);
    try {
      const count = header[Header.nextOrder]!;
      for (let edge = 1; edge < count; edge++) {
        if (orders[edge * orderInts] === held && orders[edge * orderInts + 1] === taken) return;
      }
      way = wayBetween(orders, count, taken, held);
      if (count < maxOrders) {
        orders.set([held, taken, heldWord, takenWord], count * orderInts);
        header[Header.nextOrder] = count + 1;
      }
    } finally {
      releaseLock(header, Header.graphLock, clock.holder, 0);
    }
    if (way !== undefined) this.#inversion(way, [held, taken], heldWord, takenWord);
  }

  #inversion(
    way: readonly number[],
    [held, taken]: readonly [number, number],
    heldWord: number,
    takenWord: number,
  ): void {
    const runtime = this.#runtime;
    const { control, clock } = runtime;
    const { orders } = control;
    const access = (word: number, locks: number[]): Access => {
      return { op: 'lock', size: 0, offset: 0, thread: clock.uid, stack: framesOf(control, word), locks };
    };
    const accesses = [access(takenWord, [held]), access(heldWord, [])];
    const involved = new Set([held, taken]);
    for (const edge of way) {
      const at = edge * orderInts;
      involved.add(orders[at]!).add(orders[at + 1]!);
      accesses.push(access(orders[at + 3]!, [orders[at]!]));
    }
    const report: Report = {
      kind: 'deadlock',
      title: 'lock-order-inversion (potential deadlock)',
      rule: `locks are taken in one order: ${[held, taken, ...way.map((edge) => orders[edge * orderInts + 1]!)].map((id) => `M${id}`).join(' => ')}`,
      accesses,
      locks: [...involved].map((id) => this.#describe(id)),
      threads: threadsOf(runtime, [clock.uid]),
    };
    runtime.emit(report);
  }
}

/** Edges that lead from one lock to another; undefined where none do. */
function wayBetween(orders: Int32Array, count: number, from: number, to: number): number[] | undefined {
  const reached = new Map<number, number[]>([[from, []]]);
  for (const [lock, way] of reached) {
    if (lock === to) return way;
    for (let edge = 1; edge < count; edge++) {
      const next = orders[edge * orderInts + 1]!;
      if (orders[edge * orderInts] === lock && !reached.has(next)) reached.set(next, [...way, edge]);
    }
  }
  return undefined;
}
