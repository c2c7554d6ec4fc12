// Sync variables: the clock that goes with a place of shared memory, with a list of waiters, or with an annotated object. A place's variables are found
// through the third part of the buffer's shadow (an int for 4 bytes) and hang in a list, one for each range that atomics use there: by ECMA-262 only
// atomics of equal ranges synchronise.
//
//   | next | key | lock | columns | clock at | id of an annotated lock | version | - | 4 x double |     a cache line
//
// The clock moves when there are more than 4 threads; its old place is left. The version counts its changes, so that a thread that has learnt it once can see
// without the lock that there is nothing new.

import { type Clock, learntInts } from './clock.ts';
import { type Control, Header, maxSlots } from './control.ts';
import { acquireLock, releaseLock } from './lock.ts';
import { stopProcess } from './stop.ts';

const { load, compareExchange } = Atomics;

const Field = { next: 0, key: 1, lock: 2, columns: 3, clock: 4, annotated: 5, version: 6 } as const;
const variableInts = 16;
const lineDoubles = 8;
const inlineColumns = 4;

/** What is not a range of memory, beside the sizes 1, 2, 4 and 8. */
export const Key = { waiters: 16, length: 32, annotation: 48, lock: 64 } as const;

/** Index of a variable in the sync part of the control memory, as ints. 0: none. */
export type Variable = number;

/** Doubles in lines of their own, or 0 where there is no room. */
function takeDoubles(control: Control, wanted: number): number {
  const count = Math.ceil(wanted / lineDoubles) * lineDoubles;
  if (load(control.header, Header.syncTop) + count > control.sync.length) return 0;
  const at = control.take(Header.syncTop, count);
  return at + count > control.sync.length ? 0 : at;
}

/** The variable with this key in the list that begins at `heads[at]`; made where it is not there. 0: no room for one. */
export function findVariable(control: Control, heads: Int32Array, at: number, key: number): Variable {
  const ints = control.syncInts;
  let made = 0;
  for (;;) {
    // What it points to was written before it was stored, and is reached only through it.
    const first = heads[at]!;
    for (let each = first; each !== 0; each = ints[each + Field.next]!) {
      if (ints[each + Field.key] === key) return each;
    }
    if (made === 0) {
      made = takeDoubles(control, variableInts / 2) * 2;
      if (made === 0) return 0;
      ints[made + Field.key] = key;
      ints[made + Field.columns] = inlineColumns;
      ints[made + Field.clock] = made / 2 + inlineColumns;
    }
    ints[made + Field.next] = first;
    if (compareExchange(heads, at, first, made) === first) return made;
  }
}

export function lockVariable(clock: Clock, variable: Variable): void {
  const { control } = clock;
  const halfWritten = acquireLock(control, control.syncInts, variable + Field.lock, clock.holder);
  if (halfWritten) orderAll(clock, variable);
}

/** Of a variable, for `unlock`. */
export const lockField = Field.lock;
/** Where own/ keeps the id of the annotated lock that lies here. */
export const annotatedField = Field.annotated;
/** `unlock(control.syncInts, variable + lockField, clock.holder, 0)`, which needs no frame: see lock.ts. */
export const unlock = releaseLock;

/** This thread learns the variable's clock. Under its lock. */
export function acquire(clock: Clock, variable: Variable): void {
  const ints = clock.control.syncInts;
  clock.join(clock.control.sync, ints[variable + Field.clock]!, ints[variable + Field.columns]!);
  remember(clock, variable);
}

/** What this thread knows of the variable is all that there is now. */
function remember(clock: Clock, variable: Variable): void {
  const at = placeOf(variable);
  clock.learnt[at] = variable;
  clock.learnt[at + 1] = clock.control.syncInts[variable + Field.version]!;
}

function placeOf(variable: Variable): number {
  return (variable / (variableInts / 2)) & (learntInts - 2);
}

/**
 * Whether this thread knows all of the variable's clock. Asked after a value was read, without the lock: a clock's version goes up before the
 * value that goes with it is stored, so what was read then came with nothing new.
 */
export function isLearnt({ control, learnt }: Clock, variable: Variable): boolean {
  const at = placeOf(variable);
  return learnt[at] === variable && learnt[at + 1] === control.syncInts[variable + Field.version];
}

/** Under its lock, and before the value that goes with the new clock is stored. */
function changed(clock: Clock, variable: Variable): void {
  clock.control.syncInts[variable + Field.version]! += 1;
}

/** The variable's clock becomes this thread's; what it had before is forgotten. Under its lock; the caller ticks. */
export function release(clock: Clock, variable: Variable): void {
  const { control, row } = clock;
  const columns = clock.columns();
  const at = room(clock, variable, columns);
  for (let slot = 0; slot < columns; slot++) control.sync[at + slot] = control.clocks[row + slot]!;
  changed(clock, variable);
  remember(clock, variable);
}

/** As release, and what it had before stays. */
export function releaseMerging(clock: Clock, variable: Variable): void {
  const { control, row } = clock;
  const columns = clock.columns();
  const at = room(clock, variable, columns);
  for (let slot = 0; slot < columns; slot++) {
    const own = control.clocks[row + slot]!;
    if (own > control.sync[at + slot]!) control.sync[at + slot] = own;
  }
  changed(clock, variable);
}

/** Room for so many columns, with what it held before. */
function room(clock: Clock, variable: Variable, columns: number): number {
  const { control } = clock;
  const ints = control.syncInts;
  const had = ints[variable + Field.columns]!;
  const old = ints[variable + Field.clock]!;
  if (had >= columns) return old;
  let more = had;
  while (more < columns) more *= 2;
  const at = takeDoubles(control, more);
  if (at === 0) stopProcess(`the ${control.sync.byteLength >> 20} MB for the clocks of atomics are used up`);
  control.sync.copyWithin(at, old, old + had);
  ints[variable + Field.clock] = at;
  ints[variable + Field.columns] = more;
  return at;
}

/** Its holder died while it wrote: whoever acquires now is taken to be after everything so far, lest a lost edge be reported as a race. */
function orderAll(clock: Clock, variable: Variable): void {
  const { control } = clock;
  const columns = clock.columns();
  const at = room(clock, variable, columns);
  for (let slot = 0; slot < columns; slot++) control.sync[at + slot] = control.clocks[slot * maxSlots + slot]!;
  changed(clock, variable);
}
