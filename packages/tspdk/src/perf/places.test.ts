/** Where I/Os go: order, evenness, Zipf's law, and that a seed tells all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IntRandom } from './int-random.ts';
import { PERF_DEFAULTS } from './options.ts';
import { makePlaces, type Places } from './places.ts';
import { Zipf } from './zipf.ts';

const draw = (places: Places, count: number): number[] => Array.from({ length: count }, () => places.next());

function counts(places: Places, of: number, draws: number): number[] {
  const found = new Array<number>(of).fill(0);
  for (let i = 0; i < draws; i++) found[places.next()]++;
  return found;
}

test('sequential: from the first to the last, and again', () => {
  assert.deepEqual(draw(makePlaces({ ...PERF_DEFAULTS, workload: 'read' }, 3, 1), 7), [0, 1, 2, 0, 1, 2, 0]);
  assert.deepEqual(draw(makePlaces({ ...PERF_DEFAULTS, workload: 'write' }, 1, 1), 3), [0, 0, 0]);
});

test('the same seed gives the same, another gives another', () => {
  for (const zipfTheta of [0, 0.8]) {
    const make = (seed: number) => draw(makePlaces({ ...PERF_DEFAULTS, zipfTheta }, 1_000_000, seed), 50);
    assert.deepEqual(make(7), make(7));
    assert.notDeepEqual(make(7), make(8));
  }
});

test('drawn places are in range, whatever the range', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      fc.constantFrom(0, 0.5, 1, 1.2, 3, 10),
      fc.integer(),
      (places, zipfTheta, seed) => {
        for (const place of draw(makePlaces({ ...PERF_DEFAULTS, zipfTheta }, places, seed), 100)) {
          assert.ok(Number.isInteger(place) && place >= 0 && place < places, `${place} of ${places}`);
        }
      },
    ),
    { numRuns: 500 },
  );
});

/** Chi-square of `found` against what is expected; below `limit` in all but one of a million draws. */
function chiSquare(found: readonly number[], expected: readonly number[]): number {
  return found.reduce((sum, count, i) => sum + (count - expected[i]) ** 2 / expected[i], 0);
}

test('uniform: each of 100 places as often as the others', () => {
  const found = counts(makePlaces(PERF_DEFAULTS, 100, 3), 100, 100_000);
  assert.ok(chiSquare(found, new Array(100).fill(1000)) < 180, String(found));
});

test('zipf: each of 50 places as often as the law says, below, at and above an exponent of 1', () => {
  for (const theta of [0.3, 0.99, 1, 1.5, 4]) {
    const weights = Array.from({ length: 50 }, (_, k) => (k + 1) ** -theta);
    const sum = weights.reduce((all, each) => all + each, 0);
    const draws = 200_000;
    const found = counts(new Zipf(50, theta, 11), 50, draws);
    // Places that hardly ever come are looked at together.
    const expected = weights.map((weight) => (weight / sum) * draws);
    const kept = expected.findLastIndex((each) => each >= 10) + 1;
    const tail = (values: readonly number[]) => values.slice(kept).reduce((all, each) => all + each, 0);
    const grouped = (values: readonly number[]) => [
      ...values.slice(0, kept),
      ...(tail(expected) >= 1 ? [tail(values)] : []),
    ];
    assert.ok(chiSquare(grouped(found), grouped(expected)) < 110, `theta ${theta}: ${found}`);
  }
});

test('random integers: every bit is set half the time, and below(n) comes to both its ends', () => {
  const random = new IntRandom(5);
  const bits = new Array<number>(32).fill(0);
  for (let i = 0; i < 20_000; i++) {
    const value = random.next();
    for (let bit = 0; bit < 32; bit++) bits[bit] += (value >>> bit) & 1;
  }
  for (const count of bits) assert.ok(Math.abs(count - 10_000) < 400, String(bits));
  const small = new Set(Array.from({ length: 1000 }, () => random.below(3)));
  assert.deepEqual([...small].toSorted(), [0, 1, 2]);
  let most = 0;
  for (let i = 0; i < 10_000; i++) most = Math.max(most, random.below(2 ** 31 - 1));
  assert.ok(most > 2 ** 31 * 0.99);
});
