// Who the threads are and were. A thread is entered by the one that creates it, so that its columns and its name exist before it runs, and left by whoever
// learns of its end. Slots (columns of the vector clocks) are used again, the longest free first, with epochs that go on; uids are not.

import { Clock } from './clock.ts';
import { type Control, Header, maxSlots, maxThreads, Slot, ThreadField, threadInts } from './control.ts';
import { acquireLock, releaseLock } from './lock.ts';
import { appendText, readText } from './text.ts';

const { add, compareExchange, load, store, sub } = Atomics;

export interface ThreadRecord {
  readonly uid: number;
  readonly tid: number;
  readonly parent: number;
  readonly slot: number;
  readonly word: number;
  readonly name: string;
  readonly running: boolean;
}

/** The main thread, once a process. */
export function enterMain(control: Control): Clock {
  return enter(control, undefined, 0, '');
}

/**
 * A thread that is about to be created. It begins after all its creator has done.
 * @throws {RangeError} 256 threads are alive
 */
export function enterThread(creator: Clock, word: number, name: string): Clock {
  const clock = enter(creator.control, creator, word, name);
  const { control } = creator;
  clock.join(control.clocks, creator.row, creator.columns());
  clock.tick();
  creator.tick();
  noteStart(control, clock);
  return clock;
}

function enter(control: Control, creator: Clock | undefined, word: number, name: string): Clock {
  const uid = control.take(Header.nextUid);
  const parent = creator?.uid ?? -1;
  const slot = takeSlot(control, uid, creator);
  // Of one that had the slot before, only the count of epochs stays.
  const row = slot * maxSlots;
  for (let column = 0; column < maxSlots; column++) if (column !== slot) control.clocks[row + column] = 0;
  const clock = new Clock(control, slot, uid);
  clock.tick();
  const at = (uid % maxThreads) * threadInts;
  const { threads } = control;
  threads[at + ThreadField.uid] = uid;
  threads[at + ThreadField.tid] = parent < 0 ? 0 : -1;
  threads[at + ThreadField.parent] = parent;
  threads[at + ThreadField.slot] = slot;
  threads[at + ThreadField.stack] = word;
  threads[at + ThreadField.name] = name === '' ? 0 : appendText(control, name);
  noteStart(control, clock);
  store(threads, at + ThreadField.running, 1);
  add(control.header, Header.alive, 1);
  return clock;
}

function noteStart(control: Control, clock: Clock): void {
  const at = (clock.uid % maxThreads) * threadInts;
  control.threads[at + ThreadField.epochLow] = clock.epoch | 0;
  control.threads[at + ThreadField.epochHigh] = Math.floor(clock.epoch / 2 ** 32);
}

function takeSlot(control: Control, uid: number, creator: Clock | undefined): number {
  const { header, slots } = control;
  const holder = creator?.holder ?? 1;
  acquireLock(control, header, Header.slotLock, holder);
  try {
    const high = load(header, Header.slotHigh);
    const slot = high < maxSlots || creator === undefined ? high : longestFree(control, creator);
    if (slot < 0)
      throw new RangeError(`more than ${maxSlots} threads are alive at once, and it can tell no more apart`);
    store(slots, slot * 4, uid);
    store(slots, slot * 4 + 1, Slot.live);
    if (slot === high) store(header, Header.slotHigh, high + 1);
    return slot;
  } finally {
    releaseLock(header, Header.slotLock, holder, 0);
  }
}

/**
 * Who has a slot counts as after all who had it before. So one whose last thread is known to have ended before the creator's now is taken, if there is one:
 * the new thread is after that one anyway. With any other a race with that one goes unseen.
 */
function longestFree(control: Control, creator: Clock): number {
  let found = -1;
  let isKnown = false;
  let since = Number.POSITIVE_INFINITY;
  for (let slot = 0; slot < maxSlots; slot++) {
    if (load(control.slots, slot * 4 + 1) !== Slot.dead) continue;
    const uid = load(control.slots, slot * 4);
    const known = creator.knows(slot, control.clocks[slot * maxSlots + slot]!);
    if (known === isKnown ? uid < since : known) {
      isKnown = known;
      since = uid;
      found = slot;
    }
  }
  return found;
}

/** It was told to end: a lock that it, or a worker that it has created, holds may never be released. */
export function noteEnding(control: Control, uid: number): void {
  const record = recordOf(control, uid);
  // One that has long ended can be told so again; its slot may be another thread's by now.
  if (record === undefined || load(control.slots, record.slot * 4) !== uid) return;
  compareExchange(control.slots, record.slot * 4 + 1, Slot.live, Slot.ending);
}

/** It is over. What it did is before whatever the one who calls does next. */
export function leave(clock: Clock, uid: number): void {
  const { control } = clock;
  const record = recordOf(control, uid);
  if (record === undefined || control.threads[(uid % maxThreads) * threadInts + ThreadField.running] === 0) return;
  clock.joinThread(record.slot);
  control.threads[(uid % maxThreads) * threadInts + ThreadField.running] = 0;
  sub(control.header, Header.alive, 1);
  store(control.slots, record.slot * 4 + 1, Slot.dead);
  leaveCreatedBy(clock, uid);
}

/** Node ends a worker's workers before it, and nobody is left to be told of it. */
function leaveCreatedBy(clock: Clock, parent: number): void {
  const { threads, header } = clock.control;
  const ints = Math.min(load(header, Header.nextUid), maxThreads) * threadInts;
  for (let at = 0; at < ints; at += threadInts) {
    if (threads[at + ThreadField.parent] === parent) leave(clock, threads[at + ThreadField.uid]!);
  }
}

export function setTid(control: Control, uid: number, tid: number): void {
  control.threads[(uid % maxThreads) * threadInts + ThreadField.tid] = tid;
}

/** Undefined for one so long ago that its record was used again. */
export function recordOf(control: Control, uid: number): ThreadRecord | undefined {
  const at = (uid % maxThreads) * threadInts;
  const { threads } = control;
  if (threads[at + ThreadField.uid] !== uid) return undefined;
  return {
    uid,
    tid: threads[at + ThreadField.tid]!,
    parent: threads[at + ThreadField.parent]!,
    slot: threads[at + ThreadField.slot]!,
    word: threads[at + ThreadField.stack]!,
    name: readText(control, threads[at + ThreadField.name]!),
    running: threads[at + ThreadField.running] === 1,
  };
}

/** Who made an access of this epoch in this slot: of the threads that had the slot, the last that began before it. */
export function uidAt(control: Control, slot: number, epoch: number): number {
  const { threads } = control;
  const last = load(control.header, Header.nextUid);
  for (let uid = last - 1; uid >= 0 && uid > last - maxThreads; uid--) {
    const at = (uid % maxThreads) * threadInts;
    if (threads[at + ThreadField.slot] !== slot) continue;
    const began = (threads[at + ThreadField.epochHigh]! >>> 0) * 2 ** 32 + (threads[at + ThreadField.epochLow]! >>> 0);
    if (began <= epoch) return uid;
  }
  return load(control.slots, slot * 4);
}
