// Delays around synchronisation and where threads begin, drawn from a seed: they bring threads into orders that are rare without them. A place is delayed often when it is new and
// rarely when it has been passed many times, so that a program's time goes where its orders can still change. The choices of a thread depend on the seed, its
// number and what it does, on nothing else.

import type { Runtime } from './runtime.ts';

const parking = new Int32Array(new SharedArrayBuffer(4));
const { wait } = Atomics;
const placesMax = 1024;

export type Perturb = (place: number) => void;

/** Threads that are created one after the other begin within some ten milliseconds: as long as this turns their order around. */
const startMaxMs = 48;

/** xorshift32. */
function random(seed: number): () => number {
  let state = seed | 0 || 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function seedOf(seed: number, uid: number): number {
  return Math.imul(seed ^ 0x5bd1e995, 0x01000193) ^ Math.imul(uid + 1, 0x85ebca6b);
}

/**
 * Whether a thread is one of the slow ones: those are delayed for long, the others only as long as it takes to get between two instructions. What happens
 * when one thread is late everywhere is thereby seen, too, and not only what many independent delays make of it. Of eight seeds that follow one another, each
 * pair of the first seven threads is slow and fast in each of the four ways twice (an orthogonal array).
 */
export function isSlow(seed: number, uid: number): boolean {
  let both = seed & (uid + 1);
  let odd = false;
  for (; both !== 0; both &= both - 1) odd = !odd;
  return odd;
}

/** How long a worker waits before it begins. */
export function startDelayMs(seed: number, uid: number): number {
  if (!isSlow(seed, uid)) return 0;
  const next = random(seedOf(seed, uid) ^ 0x27d4eb2f);
  next();
  return (next() / 2 ** 32) * startMaxMs;
}

export function delayStart({ clock }: Runtime, seed: number): void {
  const ms = startDelayMs(seed, clock.uid);
  if (ms > 0) wait(parking, 0, 0, ms);
}

export function createPerturb({ clock }: Runtime, seed: number, mayBlock = true): Perturb {
  const next = random(seedOf(seed, clock.uid));
  const visits = new Uint16Array(placesMax);
  let sink = 0;
  const slow = isSlow(seed, clock.uid) && mayBlock;
  return (place) => {
    const at = (place ^ (place >>> 10)) & (placesMax - 1);
    const count = visits[at]!;
    if (count < 0xffff) visits[at] = count + 1;
    // What a program does once, as to start or to end, has no further visits to be put into another order.
    const rarity = count < 2 && slow ? 0 : count < 8 ? 1 : count < 64 ? 7 : count < 1024 ? 63 : 1023;
    const draw = next();
    if ((draw & rarity) !== 0) return;
    const kind = (draw >>> 10) & 7;
    // Long: others get through whole critical sections, also when they have to be woken first. Short: they get between two instructions.
    if (slow && kind < 4) wait(parking, 0, 0, 1 + ((draw >>> 13) & (count < 2 ? 7 : 3)));
    else if (kind < 6 && mayBlock) wait(parking, 0, 0, ((draw >>> 13) & 0xff) / 1000);
    else for (let spins = (draw >>> 13) & 0xfff; spins > 0; spins--) sink = (sink + spins) | 0;
  };
}
