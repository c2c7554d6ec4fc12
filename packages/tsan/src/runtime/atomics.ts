// Atomics: each operation and the edge it makes are one step, under the lock of the sync variable of its range, so that who reads a value learns the clock
// of whoever stored it, and no other. wait and notify also pass through the list of waiters, which ECMA-262 makes a critical section.

import { type BufferShadow, type View, type ViewShadow, viewLength } from './buffer-shadow.ts';
import { shadowOf, typedName } from './buffers.ts';
import { Cell } from './clock.ts';
import { maxNamed } from './control.ts';
import { guarded } from './guarded.ts';
import { disguise } from './patch.ts';
import type { Runtime } from './runtime.ts';
import {
  acquire,
  findVariable,
  isLearnt,
  Key,
  lockField,
  lockVariable,
  release,
  unlock,
  type Variable,
} from './sync.ts';
import { Waits } from './waits.ts';

type Operation = (view: View, index: number, ...values: unknown[]) => unknown;
type Edge = 'load' | 'store' | 'update' | 'exchange-if';

const native = { ...pick(Atomics) };
const { apply } = Reflect;
const { then } = Promise.prototype;

function pick(atomics: object): Record<string, Operation> {
  const all: Record<string, Operation> = {};
  for (const name of Object.getOwnPropertyNames(atomics)) {
    all[name] = (atomics as unknown as Record<string, Operation>)[name]!;
  }
  return all;
}

const edges: Record<string, Edge> = {
  load: 'load',
  store: 'store',
  add: 'update',
  sub: 'update',
  and: 'update',
  or: 'update',
  xor: 'update',
  exchange: 'update',
  compareExchange: 'exchange-if',
};

const integers = new Set(['Int8Array', 'Uint8Array', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array']);
const bigs = new Set(['BigInt64Array', 'BigUint64Array']);

export class AtomicsPatch {
  readonly #runtime: Runtime;
  readonly waits: Waits;

  /** `end` ends the process: every thread waits. */
  constructor(runtime: Runtime, end: () => never) {
    this.#runtime = runtime;
    this.waits = new Waits(runtime, end);
  }

  install(): void {
    for (const [name, edge] of Object.entries(edges)) this.#replace(name, this.operation(native[name]!, edge));
    this.#replace('wait', this.wait(native.wait!));
    if (native.waitAsync !== undefined) this.#replace('waitAsync', this.waitAsync(native.waitAsync));
    this.#replace('notify', this.notify(native.notify!));
  }

  #replace(name: string, own: Operation): void {
    const descriptor = Object.getOwnPropertyDescriptor(Atomics, name)!;
    Object.defineProperty(Atomics, name, { ...descriptor, value: disguise(own, native[name]!) });
  }

  /** The sync variable of an element; 0 where there is no room for one. */
  variable(shadow: ViewShadow, index: number): Variable {
    const offset = shadow.base + index * (1 << shadow.shift);
    // Ranges within the same 4 bytes are told apart by where they begin and how long they are.
    return this.#variableAt(shadow.buffer, offset, 1 << shadow.shift);
  }

  waiters(shadow: ViewShadow, index: number): Variable {
    return this.#variableAt(shadow.buffer, shadow.base + index * (1 << shadow.shift), Key.waiters);
  }

  #variableAt(buffer: BufferShadow, offset: number, kind: number): Variable {
    const { control } = this.#runtime;
    if (!buffer.unchecked)
      return findVariable(control, buffer.heads, Math.floor(offset / 4), kind | ((offset & 3) << 8));
    // Without a shadow: in the table of names, by a hash. Two places with one hash make order where there is none.
    const hash = Math.imul(Math.imul(buffer.id, 0x9e3779b1) ^ offset, 0x85ebca6b) ^ kind;
    return findVariable(control, control.named, (hash >>> 8) % maxNamed, hash | 1);
  }

  operation(original: Operation, edge: Edge): Operation {
    const { clock, check, site } = this.#runtime;
    const self = this;

    const perturb = this.#runtime.perturb;

    function checked(shadow: ViewShadow, view: View, index: number, first: unknown, second: unknown): unknown {
      if (perturb !== undefined) perturb(site[0]!);
      const size = 1 << shadow.shift;
      const offset = shadow.base + index * size;
      const variable = self.variable(shadow, index);
      if (variable === 0) return unordered(view, index, first, second);
      let result: unknown;
      if (edge === 'load') {
        result = original(view, index);
        if (!isLearnt(clock, variable)) result = loadLocked(view, index, variable);
        check.whole(shadow.buffer, offset, size, Cell.atomic, site[0]!);
        if (perturb !== undefined) perturb(~site[0]!);
        return result;
      }
      lockVariable(clock, variable);
      let stores = true;
      try {
        if (edge === 'store') {
          release(clock, variable);
          result = original(view, index, first);
        } else if (edge === 'update') {
          acquire(clock, variable);
          release(clock, variable);
          result = original(view, index, first);
        } else {
          acquire(clock, variable);
          // Looked at first, as a clock has to change before the value that goes with it; under the lock nobody else changes it in good order.
          stores = sameBits(view, native.load!(view, index), first);
          if (stores) release(clock, variable);
          result = original(view, index, first, second);
        }
        // A store is noted before another thread can learn of it: what that one does next would look like something that came before.
        if (stores) check.whole(shadow.buffer, offset, size, Cell.atomic | Cell.write, site[0]!);
      } finally {
        unlock(clock.control.syncInts, variable + lockField, clock.holder, 0);
      }
      if (stores) clock.tick();
      else check.whole(shadow.buffer, offset, size, Cell.atomic, site[0]!);
      if (perturb !== undefined) perturb(~site[0]!);
      return result;
    }

    function loadLocked(view: View, index: number, variable: Variable): unknown {
      lockVariable(clock, variable);
      try {
        acquire(clock, variable);
        return original(view, index);
      } finally {
        unlock(clock.control.syncInts, variable + lockField, clock.holder, 0);
      }
    }

    /** No room for another clock: learn everything, so that nothing is reported that may be ordered. */
    function unordered(view: View, index: number, first: unknown, second: unknown): unknown {
      const result = original(view, index, first, second);
      for (let slot = 0; slot < clock.columns(); slot++) clock.joinThread(slot);
      return result;
    }

    const slow = (view: View, index: number, first: unknown, second: unknown): unknown => {
      const shadow = shadowOf(view)!;
      if (
        shadow.atomic &&
        typeof index === 'number' &&
        index >>> 0 === index &&
        index < shadow.limit &&
        isExact(shadow, first, second, edge)
      ) {
        return checked(shadow, view, index, first, second);
      }
      return self.#odd(view, shadow, index, first, second, edge, checked, original);
    };
    return guarded(original, slow as Operation, 'first', edge === 'exchange-if' ? 4 : 3);
  }

  /** Arguments that have to be converted first, in the order that ECMA-262 gives: what cannot be is left to the original to refuse. */
  #odd(
    view: View,
    shadow: ViewShadow,
    index: unknown,
    first: unknown,
    second: unknown,
    edge: Edge,
    checked: (shadow: ViewShadow, view: View, index: number, first: unknown, second: unknown) => unknown,
    original: Operation,
  ): unknown {
    const name = typedName(view);
    if (name === undefined || !(integers.has(name) || bigs.has(name)))
      return original(view, index as number, first, second);
    const at = toIndex(index);
    // Refuses an index outside in the original's words.
    native.load!(view, at);
    shadow.limit = viewLength(view);
    shadow.cells = shadow.buffer.cells;
    const convert = bigs.has(name) ? toBigInt : toInteger;
    const one = edge === 'load' ? undefined : convert(first);
    const two = edge === 'exchange-if' ? convert(second) : undefined;
    return checked(shadow, view, at, one, two);
  }

  #enterWaiters(shadow: ViewShadow, index: number): void {
    const { clock } = this.#runtime;
    const variable = this.waiters(shadow, index);
    if (variable === 0) return;
    lockVariable(clock, variable);
    try {
      acquire(clock, variable);
      release(clock, variable);
    } finally {
      unlock(clock.control.syncInts, variable + lockField, clock.holder, 0);
    }
    clock.tick();
  }

  /** What a wait's own load of the value learns. */
  #learn(view: View, shadow: ViewShadow, index: number): void {
    const { clock, check, site } = this.#runtime;
    const variable = this.variable(shadow, index);
    if (variable !== 0) {
      lockVariable(clock, variable);
      try {
        acquire(clock, variable);
      } finally {
        unlock(clock.control.syncInts, variable + lockField, clock.holder, 0);
      }
    }
    const size = 1 << shadow.shift;
    if (index < shadow.limit || view.byteLength > index * size) {
      check.range(shadow.buffer, shadow.base + index * size, size, Cell.atomic, site[0]!);
    }
  }

  #waitForever(shadow: ViewShadow, view: View, index: number, value: unknown): unknown {
    const offset = shadow.base + index * (1 << shadow.shift);
    const isToWait = () => native.load!(view, index) === value;
    const wait = (limitMs: number) => native.wait!(view, index, value, limitMs) as string;
    return this.waits.forever(shadow.buffer.id, offset, isToWait, wait);
  }

  wait(original: Operation): Operation {
    const { perturb, site } = this.#runtime;
    const self = this;
    return {
      wait(view: View, index: unknown, value: unknown, timeout: unknown): unknown {
        const shadow = shadowOf(view);
        if (!shadow?.buffer.live) return original(view, index as number, value, timeout);
        const at = indexFor(view, index);
        if (at === undefined) return original(view, index as number, value, timeout);
        // Who comes too early finds the value that it waits for; who comes late finds that it was notified before.
        perturb?.(site[0]!);
        self.#learn(view, shadow, at);
        self.#enterWaiters(shadow, at);
        const limit = timeout === undefined ? Number.POSITIVE_INFINITY : Number(timeout);
        const result =
          Number.isNaN(limit) || limit === Number.POSITIVE_INFINITY
            ? self.#waitForever(shadow, view, at, elementOf(view, value))
            : original(view, at, value, limit);
        self.#enterWaiters(shadow, at);
        // A wait that timed out has read the value before it slept.
        if (result !== 'timed-out') self.#learn(view, shadow, at);
        // Who notified may go on first.
        perturb?.(~site[0]!);
        return result;
      },
    }.wait as Operation;
  }

  waitAsync(original: Operation): Operation {
    const self = this;
    return {
      waitAsync(view: View, index: unknown, value: unknown, timeout: unknown): unknown {
        const shadow = shadowOf(view);
        if (!shadow?.buffer.live) return original(view, index as number, value, timeout);
        const at = indexFor(view, index);
        if (at === undefined) return original(view, index as number, value, timeout);
        self.#learn(view, shadow, at);
        self.#enterWaiters(shadow, at);
        const result = original(view, at, value, timeout) as { async: boolean; value: Promise<string> | string };
        if (!result.async) {
          if (result.value !== 'timed-out') self.#learn(view, shadow, at);
          return result;
        }
        // Before whoever awaits it: reactions run in the order in which they were asked for.
        void apply(then, result.value, [
          (outcome: unknown) => {
            self.#enterWaiters(shadow, at);
            if (outcome !== 'timed-out') self.#learn(view, shadow, at);
          },
        ]);
        return result;
      },
    }.waitAsync as Operation;
  }

  notify(original: Operation): Operation {
    const { perturb, site } = this.#runtime;
    const self = this;
    return {
      notify(view: View, index: unknown, count: unknown): unknown {
        const shadow = shadowOf(view);
        if (!shadow?.buffer.live) return original(view, index as number, count);
        const at = indexFor(view, index);
        if (at === undefined) return original(view, index as number, count);
        perturb?.(site[0]!);
        self.#enterWaiters(shadow, at);
        self.waits.notified(shadow.buffer.id, shadow.base + at * (1 << shadow.shift));
        const woken = original(view, at, count);
        // Who was woken may go on first.
        perturb?.(~site[0]!);
        return woken;
      },
    }.notify as Operation;
  }
}

/** A value as the element of an Int32Array or BigInt64Array would have it. */
function elementOf(view: View, value: unknown): number | bigint {
  return typedName(view) === 'Int32Array' ? +(value as number) | 0 : BigInt.asIntN(64, toBigInt(value));
}

function isExact(shadow: ViewShadow, first: unknown, second: unknown, edge: Edge): boolean {
  if (edge === 'load') return true;
  const type = shadow.shift === 3 ? 'bigint' : 'number';
  return typeof first === type && (edge !== 'exchange-if' || typeof second === type);
}

/** Whether a compareExchange has stored: what it returned is what was expected, as the element's type has it. */
function sameBits(view: View, result: unknown, expected: unknown): boolean {
  if (result === expected) return true;
  switch (typedName(view)) {
    case 'Int8Array':
      return ((expected as number) << 24) >> 24 === result;
    case 'Uint8Array':
      return ((expected as number) & 0xff) === result;
    case 'Int16Array':
      return ((expected as number) << 16) >> 16 === result;
    case 'Uint16Array':
      return ((expected as number) & 0xffff) === result;
    case 'Int32Array':
      return ((expected as number) | 0) === result;
    case 'Uint32Array':
      return (expected as number) >>> 0 === result;
    case 'BigInt64Array':
      return BigInt.asIntN(64, expected as bigint) === result;
    default:
      return BigInt.asUintN(64, expected as bigint) === result;
  }
}

/** The index of a wait or notify where it is one; undefined where the original will refuse. */
function indexFor(view: View, index: unknown): number | undefined {
  const name = typedName(view);
  if (name !== 'Int32Array' && name !== 'BigInt64Array') return undefined;
  const at = toIndex(index);
  return at < (view as Int32Array).length ? at : undefined;
}

/** ToIndex, whose refusals are left to the original: what is no index becomes one that is outside of everything. */
function toIndex(index: unknown): number {
  const whole = Math.trunc(index as number) || 0;
  return whole >= 0 && whole <= Number.MAX_SAFE_INTEGER ? whole : Number.MAX_SAFE_INTEGER;
}

function toInteger(value: unknown): number {
  const whole = Math.trunc(value as number);
  return Number.isNaN(whole) ? 0 : whole;
}

function toBigInt(value: unknown): bigint {
  if (typeof value === 'bigint') return value;
  // ToBigInt, which refuses numbers, unlike BigInt().
  const scratch = new BigInt64Array(1);
  scratch[0] = value as bigint;
  return scratch[0]!;
}
