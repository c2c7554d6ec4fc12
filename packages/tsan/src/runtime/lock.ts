// Spin locks that nobody can keep. Whoever holds one may never give it back:
//
// - a worker can be terminated between any two instructions, and with it all workers that it has created;
// - one that runs out of its heap ends without a word, and its creator may be the one who waits here, and so never learns of it;
// - `vm` stops a script after its `timeout` without running `finally`, and the thread goes on.
//
// So a lock says who holds it, and who waits for it takes it over: at once from itself and from a thread that is gone; from one that is about to be
// (Slot.ending) or whose creator is, after about 100 ms; from any other after about 2 s. What is done under a lock takes microseconds. Patience is counted
// in looks and not by a clock: a process that was stopped for a minute has not waited. Every wait for a lock ends thereby, whatever the others do.
// A holder that was only slow gives back no lock but its own, and what a lock that was taken over protects is taken to be half written.

import { type Control, maxThreads, Slot, ThreadField, threadInts } from './control.ts';

const { load, compareExchange, wait } = Atomics;
const spinsPerLook = 2048;
/** A look lasts about 0.1 ms. */
const endingLooks = 1000;
const liveLooks = 20_000;
const lookMs = 0.05;
const parking = new Int32Array(new SharedArrayBuffer(4));

/** How a holder is written down: never 0, and never the same for two threads. */
export function holderOf(slot: number, uid: number): number {
  return ((uid << 8) | slot) + 1;
}

/** `Slot.live`, `ending` or `dead`, for a holder and all its creators together: it does not outlive them. */
function stateOf(control: Control, holder: number): number {
  const { slots, threads } = control;
  let slot = (holder - 1) & 0xff;
  let uid = (holder - 1) >>> 8;
  let state: number = Slot.live;
  for (let depth = 0; depth < maxThreads; depth++) {
    if (load(slots, slot * 4) !== uid) return Slot.dead;
    const own = load(slots, slot * 4 + 1);
    if (own === Slot.dead || own === Slot.free) return Slot.dead;
    if (own === Slot.ending) state = Slot.ending;
    const at = (uid % maxThreads) * threadInts;
    const parent = threads[at + ThreadField.parent]!;
    // The main thread has no creator; a record that is not written yet, or was used again, tells nothing.
    if (threads[at + ThreadField.uid] !== uid || parent < 0 || parent === uid) return state;
    uid = parent;
    const above = (uid % maxThreads) * threadInts;
    if (threads[above + ThreadField.uid] !== uid) return state;
    slot = threads[above + ThreadField.slot]!;
  }
  return state;
}

/** @returns true where the lock was taken over: what it protects may be half written */
export function acquireLock(control: Control, words: Int32Array, at: number, me: number): boolean {
  if (compareExchange(words, at, 0, me) === 0) return false;
  return acquireContended(control, words, at, me);
}

function acquireContended(control: Control, words: Int32Array, at: number, me: number): boolean {
  let known = 0;
  let looks = 0;
  let spins = 0;
  for (;;) {
    const holder = load(words, at);
    if (holder === 0) {
      if (compareExchange(words, at, 0, me) === 0) return false;
      continue;
    }
    // A thread does not wait for itself: it was torn out of what it did under the lock.
    if (holder === me) return true;
    // Where there are more threads than processors its holder may not be running: let it.
    if (++spins % spinsPerLook !== 0) continue;
    wait(parking, 0, 0, lookMs);
    if (holder !== known) looks = 0;
    known = holder;
    if (isOver(control, holder, ++looks) && compareExchange(words, at, holder, me) === holder) return true;
  }
}

function isOver(control: Control, holder: number, looks: number): boolean {
  if (looks >= liveLooks) return true;
  const state = stateOf(control, holder);
  return state === Slot.dead || (state === Slot.ending && looks >= endingLooks);
}

/**
 * Gives the lock back, if it is still this thread's. For a `finally`: an alias of a built-in, which is called without a frame, so that a
 * stack overflow under the lock does not keep it.
 *
 *     } finally {
 *       releaseLock(words, at, me, 0);
 *     }
 */
export const releaseLock: (words: Int32Array, at: number, me: number, free: 0) => number = compareExchange;
