/**
 * Random integers for the data path: seeded, and nothing on the heap.
 *
 * xorshift128 (Marsaglia 2003) like env/random.ts. Its words stay signed and in an Int32Array: as fields of an object half of them would be
 * doubles, which cost a conversion for each step and a heap number where one is passed on.
 */
export class IntRandom {
  readonly #state = new Int32Array(4);

  /** @param seed any integer; the same gives the same numbers. */
  constructor(seed: number) {
    const state = this.#state;
    // Close seeds shall not give close sequences, and the state is never all zero.
    let x = (seed ^ 0x9e3779b9) | 0;
    for (let i = 0; i < 4; i++) {
      x = (x + 0x6d2b79f5) | 0;
      let mixed = Math.imul(x ^ (x >>> 15), x | 1);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
      state[i] = mixed ^ (mixed >>> 14);
    }
    state[3] |= 1;
  }

  /** 32 random bits, as a signed integer. */
  next(): number {
    const state = this.#state;
    let t = state[0];
    const w = state[3];
    state[0] = state[1];
    state[1] = state[2];
    state[2] = w;
    t ^= t << 11;
    t ^= t >>> 8;
    const next = w ^ (w >>> 19) ^ t;
    state[3] = next;
    return next;
  }

  /** An integer in [0, n), n below 2^31. */
  below(n: number): number {
    // The largest fraction is 2^-32 away from 1, the product rounded to 2^-53 of itself: it never comes to n.
    return ((this.next() >>> 0) * (n / 0x1_0000_0000)) | 0;
  }
}
