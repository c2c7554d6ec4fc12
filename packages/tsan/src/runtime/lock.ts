// Spin locks that survive their holder. A worker can be terminated between any two instructions, so a lock says who holds it, and who waits for it
// takes it over once that thread is gone (or is being terminated and has not come out for 100 ms: what is done under a lock takes microseconds).

import { type Control, Slot } from './control.ts';

const { load, compareExchange, store } = Atomics;
const now = performance.now.bind(performance);
const endingMs = 100;

/** How a holder is written down: never 0, and never the same for two threads. */
export function holderOf(slot: number, uid: number): number {
  return ((uid << 8) | slot) + 1;
}

function isGone(control: Control, holder: number): boolean {
  const slot = (holder - 1) & 0xff;
  const uid = (holder - 1) >>> 8;
  if (load(control.slots, slot * 4) !== uid) return true;
  const state = load(control.slots, slot * 4 + 1);
  return state === Slot.dead || state === Slot.free;
}

function isEnding(control: Control, holder: number): boolean {
  return load(control.slots, ((holder - 1) & 0xff) * 4 + 1) === Slot.ending;
}

/** @returns true where the lock was taken over from a thread that is gone: what it protects may be half written */
export function acquireLock(control: Control, words: Int32Array, at: number, me: number): boolean {
  if (compareExchange(words, at, 0, me) === 0) return false;
  return acquireContended(control, words, at, me);
}

function acquireContended(control: Control, words: Int32Array, at: number, me: number): boolean {
  let endingSince = -1;
  let spins = 0;
  for (;;) {
    const holder = load(words, at);
    if (holder === 0) {
      if (compareExchange(words, at, 0, me) === 0) return false;
      continue;
    }
    // Where there are more threads than processors its holder may not be running: let it.
    if (++spins % 2048 !== 0) continue;
    Atomics.wait(parking, 0, 0, 0.05);
    let gone = isGone(control, holder);
    if (!gone && isEnding(control, holder)) {
      if (endingSince < 0) endingSince = now();
      gone = now() - endingSince > endingMs;
    }
    if (gone && compareExchange(words, at, holder, me) === holder) return true;
  }
}

const parking = new Int32Array(new SharedArrayBuffer(4));

export function releaseLock(words: Int32Array, at: number): void {
  store(words, at, 0);
}
