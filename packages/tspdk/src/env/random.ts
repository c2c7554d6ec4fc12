/**
 * Randomness that a seed can replay: everything in the kit that draws a number takes a Random.
 *
 * xorshift128 (Marsaglia 2003): small, fast, good enough for workloads and simulated faults, not for secrets.
 */
export class Random {
  /** What `new Random(seed)` was given, to print and to replay. */
  readonly seed: number;
  #x: number;
  #y: number;
  #z: number;
  #w: number;

  /** @param seed an integer; by default drawn from the system. */
  constructor(seed: number = (Math.random() * 0x1_0000_0000) >>> 0) {
    this.seed = seed;
    this.#x = (seed ^ 0x9e3779b9) >>> 0 || 1;
    this.#y = (Math.imul(seed, 0x85ebca6b) ^ 0xc2b2ae35) >>> 0;
    this.#z = (Math.imul(seed, 0x27d4eb2f) + 0x165667b1) >>> 0;
    this.#w = 0x2545f491;
    for (let i = 0; i < 16; i++) this.u32();
  }

  /** 32 random bits. */
  u32(): number {
    const t = this.#x ^ (this.#x << 11);
    this.#x = this.#y;
    this.#y = this.#z;
    this.#z = this.#w;
    this.#w = (this.#w ^ (this.#w >>> 19) ^ t ^ (t >>> 8)) >>> 0;
    return this.#w;
  }

  /** A double in [0, 1). */
  next(): number {
    return this.u32() / 0x1_0000_0000;
  }

  /** An integer in [0, n). */
  int(n: number): number {
    return Math.floor(this.next() * n);
  }

  /** True with probability `p`. */
  chance(p: number): boolean {
    return this.next() < p;
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)] as T;
  }
}

/**
 * The `n`-th number of a seed's sequence, from 0 on, without those before it: a double in [0, 1). For what several cores draw by turns, where only the
 * numbering is shared. Sequences of other streams of the same seed have nothing to do with it.
 *
 * A hashed counter: MurmurHash3's finalizer over steps of the golden ratio, started at a hash of seed, stream and the upper bits of `n`.
 * @param n up to 2^53
 */
export function drawAt(seed: number, stream: number, n: number): number {
  const start = mix(mix(seed ^ Math.imul(stream + 1, 0x85ebca6b)) ^ Math.floor(n / 0x1_0000_0000));
  return mix((start + Math.imul(n >>> 0, 0x9e3779b1)) | 0) / 0x1_0000_0000;
}

function mix(word: number): number {
  let hash = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
