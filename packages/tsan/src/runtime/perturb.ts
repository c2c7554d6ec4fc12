// Delays around synchronisation, drawn from a seed: they bring threads into orders that are rare without them. A place is delayed often when it is new and
// rarely when it has been passed many times, so that a program's time goes where its orders can still change. The choices of a thread depend on the seed, its
// number and what it does, on nothing else.

import type { Runtime } from './runtime.ts';

const parking = new Int32Array(new SharedArrayBuffer(4));
const { wait } = Atomics;
const placesMax = 1024;

export type Perturb = (place: number) => void;

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

export function createPerturb({ clock }: Runtime, seed: number, mayBlock = true): Perturb {
  const next = random(Math.imul(seed ^ 0x5bd1e995, 0x01000193) ^ Math.imul(clock.uid + 1, 0x85ebca6b));
  const visits = new Uint16Array(placesMax);
  let sink = 0;
  return (place) => {
    const at = (place ^ (place >>> 10)) & (placesMax - 1);
    const count = visits[at]!;
    if (count < 0xffff) visits[at] = count + 1;
    const rarity = count < 8 ? 1 : count < 64 ? 7 : count < 1024 ? 63 : 1023;
    const draw = next();
    if ((draw & rarity) !== 0) return;
    const kind = (draw >>> 10) & 7;
    // Long: others get through whole critical sections. Short: they get between two instructions.
    if (kind === 0 && mayBlock) wait(parking, 0, 0, 1 + ((draw >>> 13) & 3));
    else if (kind < 3 && mayBlock) wait(parking, 0, 0, ((draw >>> 13) & 0xff) / 1000);
    else for (let spins = (draw >>> 13) & 0xfff; spins > 0; spins--) sink = (sink + spins) | 0;
  };
}
