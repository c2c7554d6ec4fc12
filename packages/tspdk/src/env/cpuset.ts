/**
 * Cpuset: a set of cores, with SPDK's ways of writing one (lib/util/cpuset.c).
 *
 * Masks come from the command line, from RPCs and from threads, so parsing is strict and says which character it minds.
 * Three spellings: `0x3` or plain `3` (hexadecimal, bit 0 is core 0), and `[0,2-4]` (a list of cores and ranges, blanks allowed).
 * It prints as SPDK prints: lower-case hexadecimal, no prefix, no leading zeros. Control path only; any thread.
 *
 * Stricter than SPDK where SPDK guesses: bits past the limit, text after `]`, `[0-2-4]` and a bare `0x` are refused.
 */
import { SpdkError } from './errors.ts';
import { limits } from './limits.ts';

const WORDS = limits.cores_max / 32;

/** A set of core numbers, each 0 to limits.cores_max - 1. */
export class Cpuset implements Iterable<number> {
  readonly #words = new Uint32Array(WORDS);

  /** @param cores the first members. @throws {SpdkError} EINVAL for a core out of range. */
  constructor(cores: Iterable<number> = []) {
    for (const core of cores) this.set(core);
  }

  /** Every core there can be: what a thread without a mask may use. */
  static all(): Cpuset {
    return new Cpuset().negate();
  }

  /**
   * Reads `0x3`, `3` or `[0,2-4]` (spdk_cpuset_parse).
   * @throws {SpdkError} EINVAL: malformed, empty text, a descending range, or a core past limits.cores_max - 1.
   */
  static parse(text: string): Cpuset {
    const trimmed = text.replace(/^[ \t]+|[ \t]+$/g, '');
    if (trimmed === '') throw malformed(text, 'it is empty');
    return trimmed.startsWith('[') ? parseList(text, trimmed) : parseMask(text, trimmed);
  }

  /** Words of the mask, least significant first, as shared tables keep them. */
  static fromWords(words: ArrayLike<number>): Cpuset {
    const set = new Cpuset();
    for (let i = 0; i < WORDS; i++) set.#words[i] = words[i] as number;
    return set;
  }

  /** Writes the mask's 32-bit words, least significant first, to `out` from index `at`. */
  writeWords(out: Int32Array | Uint32Array, at: number): void {
    for (let i = 0; i < WORDS; i++) out[at + i] = this.#words[i] as number;
  }

  /** Adds or removes a core. @throws {SpdkError} EINVAL for a core out of range. */
  set(core: number, on = true): this {
    checkCore(core);
    const bit = 1 << (core & 31);
    const word = this.#words[core >>> 5] as number;
    this.#words[core >>> 5] = on ? word | bit : word & ~bit;
    return this;
  }

  /** Whether `core` is in the set. @throws {SpdkError} EINVAL for a core out of range. */
  has(core: number): boolean {
    checkCore(core);
    return (((this.#words[core >>> 5] as number) >>> (core & 31)) & 1) === 1;
  }

  /** How many cores are in the set. */
  get count(): number {
    let count = 0;
    for (let word of this.#words) {
      for (; word !== 0; word = (word & (word - 1)) >>> 0) count++;
    }
    return count;
  }

  get empty(): boolean {
    return this.#words.every((word) => word === 0);
  }

  equals(other: Cpuset): boolean {
    return this.#words.every((word, i) => word === other.#words[i]);
  }

  clone(): Cpuset {
    return Cpuset.fromWords(this.#words);
  }

  /** Removes every core. */
  zero(): this {
    this.#words.fill(0);
    return this;
  }

  /** In place: what was out comes in, and the other way round. */
  negate(): this {
    for (let i = 0; i < WORDS; i++) this.#words[i] = ~(this.#words[i] as number);
    return this;
  }

  /** In place: keeps what `other` has too. */
  and(other: Cpuset): this {
    for (let i = 0; i < WORDS; i++) this.#words[i] = (this.#words[i] as number) & (other.#words[i] as number);
    return this;
  }

  /** In place: adds what `other` has. */
  or(other: Cpuset): this {
    for (let i = 0; i < WORDS; i++) this.#words[i] = (this.#words[i] as number) | (other.#words[i] as number);
    return this;
  }

  /** In place: keeps what exactly one of the two has. */
  xor(other: Cpuset): this {
    for (let i = 0; i < WORDS; i++) this.#words[i] = (this.#words[i] as number) ^ (other.#words[i] as number);
    return this;
  }

  /** Whether the two share a core. */
  intersects(other: Cpuset): boolean {
    return this.#words.some((word, i) => (word & (other.#words[i] as number)) !== 0);
  }

  /** The cores in ascending order. */
  *[Symbol.iterator](): Generator<number> {
    for (let i = 0; i < WORDS; i++) {
      const word = this.#words[i] as number;
      if (word === 0) continue;
      for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) yield i * 32 + bit;
    }
  }

  /** SPDK's form (spdk_cpuset_fmt): `3`, `f0`, `0` when empty. */
  toString(): string {
    let text = '';
    for (let i = WORDS - 1; i >= 0; i--) text += (this.#words[i] as number).toString(16).padStart(8, '0');
    return text.replace(/^0+(?=.)/, '');
  }
}

function checkCore(core: number): void {
  if (!Number.isInteger(core) || core < 0 || core >= limits.cores_max) {
    throw new SpdkError('EINVAL', `core ${core} is out of range, limit 0 to ${limits.cores_max - 1}`);
  }
}

function malformed(text: string, why: string): SpdkError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}...` : text;
  return new SpdkError('EINVAL', `core mask ${JSON.stringify(shown)}: ${why}`);
}

function parseMask(text: string, trimmed: string): Cpuset {
  const digits = trimmed.replace(/^0[xX]/, '');
  if (digits === '') throw malformed(text, 'no digit follows 0x');
  const set = new Cpuset();
  let core = 0;
  for (let i = digits.length - 1; i >= 0; i--, core += 4) {
    const digit = digits[i] as string;
    if (!/[0-9a-fA-F]/.test(digit)) throw malformed(text, `character ${JSON.stringify(digit)} is not hexadecimal`);
    const value = Number.parseInt(digit, 16);
    if (value === 0) continue;
    if (core >= limits.cores_max) throw malformed(text, `it names a core past ${limits.cores_max - 1}`);
    for (let bit = 0; bit < 4; bit++) if ((value >> bit) & 1) set.set(core + bit);
  }
  return set;
}

function parseList(text: string, trimmed: string): Cpuset {
  if (!trimmed.endsWith(']')) throw malformed(text, 'the list does not end with ]');
  const set = new Cpuset();
  for (const item of trimmed.slice(1, -1).split(',')) {
    const match = /^[ \t]*([0-9]+)[ \t]*(?:-[ \t]*([0-9]+)[ \t]*)?$/.exec(item);
    if (match === null) throw malformed(text, `${JSON.stringify(item)} is neither a core nor a range`);
    const first = coreOf(text, match[1] as string);
    const last = match[2] === undefined ? first : coreOf(text, match[2]);
    if (first > last) throw malformed(text, `the range ${first}-${last} runs backwards`);
    for (let core = first; core <= last; core++) set.set(core);
  }
  return set;
}

function coreOf(text: string, digits: string): number {
  const core = Number(digits);
  if (core >= limits.cores_max) throw malformed(text, `core ${digits} is past ${limits.cores_max - 1}`);
  return core;
}
