/**
 * What both fuzzers of this folder feed on: random JSON, ways to spoil it, random cuts, and how long to go on.
 *
 * Test code, kept apart so that the two fuzzers spoil alike. TSPDK_SEED replays a run, TSPDK_FUZZ_SECONDS bounds it.
 */
import { Random } from '../env/random.ts';

/** The run's generator; the seed is to be printed. */
export function fuzzRandom(): Random {
  const { TSPDK_SEED } = process.env;
  return TSPDK_SEED === undefined ? new Random() : new Random(Number(TSPDK_SEED));
}

/** When the run is over, in ms of performance.now. */
export function fuzzDeadlineMs(): number {
  return performance.now() + Number(process.env.TSPDK_FUZZ_SECONDS ?? 5) * 1000;
}

const STRINGS = [
  '',
  'a',
  '"',
  '\\',
  '\n',
  '\u0000',
  'é',
  '😀',
  '\ud800',
  '{',
  '}]',
  '//',
  '/*',
  '__proto__',
  'x'.repeat(300),
];
const NUMBERS = [0, -0, 1, -1, 0.5, 1e21, 5e-324, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 1.7976931348623157e308];

/** Any value JSON can say. */
export function randomValue(random: Random, depth = 4): unknown {
  const kind = random.int(depth > 0 ? 8 : 5);
  if (kind === 0) return null;
  if (kind === 1) return random.chance(0.5);
  if (kind === 2) return random.pick(NUMBERS);
  if (kind === 3) return random.pick(STRINGS) + random.pick(STRINGS);
  if (kind === 4) return BigInt(random.u32()) * BigInt(random.u32()) * BigInt(random.u32());
  const length = random.int(4);
  if (kind <= 6) return Array.from({ length }, () => randomValue(random, depth - 1));
  return Object.fromEntries(
    Array.from({ length }, (_, index) => [`${random.pick(STRINGS)}${index}`, randomValue(random, depth - 1)]),
  );
}

const BITS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '\\u',
  ' ',
  '\n',
  '\0',
  '-',
  '0',
  '1e',
  '.',
  'true',
  'nul',
  '/*',
  '//',
  '\xff',
];

/** Bytes with something wrong: changed, cut, doubled, mixed. May by chance still be right. */
export function spoil(random: Random, bytes: Buffer): Buffer {
  const at = random.int(bytes.length + 1);
  const to = Math.min(bytes.length, at + random.int(8));
  const bit = Buffer.from(random.pick(BITS), 'latin1');
  switch (random.int(6)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bit, bytes.subarray(at)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)]);
    case 4: {
      const changed = Buffer.from(bytes);
      if (at < changed.length) changed[at] = random.int(256);
      return changed;
    }
    default:
      return Buffer.from(random.pick(BITS).repeat(random.int(200)), 'latin1');
  }
}

/** The bytes in pieces, often one, sometimes many of a single byte. */
export function cut(random: Random, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  const longest = random.pick([1, 3, 16, 200, 5000, 1e9]);
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + random.int(longest);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}
