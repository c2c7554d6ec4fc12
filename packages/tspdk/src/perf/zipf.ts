/**
 * Places by Zipf's law: place k of n (the first is 0) comes with a weight of (k + 1)^-theta, so few are hot and most are cold.
 *
 * Rejection-inversion (Hörmann and Derflinger 1996): exact for every theta above 0, without a table and without the sum over all places that the usual
 * formula needs first. The law's histogram is covered by the area under a curve whose integral has an inverse: a point of the area is drawn by
 * its integral, and drawn again in the rare case that it lies above the histogram. Data path: numbers stay in locals and arrays.
 */
import { IntRandom } from './int-random.ts';

/** Places of the array of constants. */
const EXPONENT = 0;
const LOW = 1;
const SPAN = 2;
const SHORTCUT = 3;

/** exp(x) - 1 over x, and log(1 + x) over x: near 0 by their series, as theta may be 1. */
function expm1Over(x: number): number {
  return Math.abs(x) > 1e-8 ? Math.expm1(x) / x : 1 + x / 2;
}
function log1pOver(x: number): number {
  return Math.abs(x) > 1e-8 ? Math.log1p(x) / x : 1 - x / 2;
}

/** Integral of x^-theta, up to a constant. */
function integral(x: number, theta: number): number {
  const log = Math.log(x);
  return expm1Over((1 - theta) * log) * log;
}

/** Its inverse. */
function inverse(x: number, theta: number): number {
  const t = Math.max(-1, x * (1 - theta));
  return Math.exp(log1pOver(t) * x);
}

export class Zipf {
  readonly #places: number;
  readonly #random: IntRandom;
  readonly #constants = new Float64Array(4);

  /** @param places below 2^31 @param theta above 0 */
  constructor(places: number, theta: number, seed: number) {
    this.#places = places;
    this.#random = new IntRandom(seed);
    const low = integral(1.5, theta) - 1;
    const constants = this.#constants;
    constants[EXPONENT] = theta;
    constants[LOW] = low;
    constants[SPAN] = integral(places + 0.5, theta) - low;
    constants[SHORTCUT] = 2 - inverse(integral(2.5, theta) - Math.exp(-theta * Math.LN2), theta);
  }

  /** A place in [0, places). */
  next(): number {
    const constants = this.#constants;
    const theta = constants[EXPONENT];
    for (;;) {
      const u = constants[LOW] + ((this.#random.next() >>> 0) / 0x1_0000_0000) * constants[SPAN];
      const x = inverse(u, theta);
      let k = (x + 0.5) | 0;
      if (k < 1) k = 1;
      else if (k > this.#places) k = this.#places;
      if (k - x <= constants[SHORTCUT] || u >= integral(k + 0.5, theta) - Math.exp(-theta * Math.log(k))) return k - 1;
    }
  }
}
