/**
 * The data that a verifying job writes, told by seed, place and how often the place was written; so what must stand anywhere can be made again instead of
 * being kept, and no two places or times hold the same. Data path: 32-bit words, in the machine's order.
 */

/** Where the sequence of a piece of data begins; never 0. */
export function patternStart(seed: number, place: number, generation: number): number {
  let x = Math.imul(seed ^ 0x2545f491, 0x9e3779b1) ^ Math.imul(place + 1, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) ^ Math.imul(generation, 0x297a2d39);
  x = Math.imul(x ^ (x >>> 12), 0x7feb352d);
  x ^= x >>> 15;
  return x === 0 ? 1 : x;
}

/** Writes `count` words from `at` on. */
export function fillPattern(words: Int32Array, at: number, count: number, start: number): void {
  let x = start;
  for (let i = at, end = at + count; i < end; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
}

/** Index of the first of `count` words from `at` on that is not as written, counted from `at`; -1 when all are. */
export function comparePattern(words: Int32Array, at: number, count: number, start: number): number {
  let x = start;
  for (let i = 0; i < count; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    if (words[at + i] !== x) return i;
  }
  return -1;
}
