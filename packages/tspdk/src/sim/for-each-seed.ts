/**
 * The same simulated test over many seeds.
 *
 *   forEachSeed('stop from any core', 1000, async (sim) => { ... });
 */
import { test } from 'node:test';
import { type Sim, type SimOptions, simulate } from './simulate.ts';

/**
 * A test that runs `body` under the seeds 1 to `count`, each a simulation of its own. `TSPDK_SEEDS` replaces the count, or is the first and the last (`1001-2000`); `TSPDK_SEED` runs
 * exactly one. A failure names its seed and the line that replays it.
 */
export function forEachSeed(
  name: string,
  count: number,
  body: (sim: Sim) => Promise<void>,
  options: SimOptions = {},
): void {
  const [first, last] = seedRange(count);
  void test(`${name} (${last - first + 1} seeds)`, async () => {
    for (let seed = first; seed <= last; seed++) {
      try {
        await simulate(seed, options, body);
      } catch (error) {
        throw failure(name, seed, error);
      }
    }
  });
}

/** The first and the last seed to run: 1 and `count`, where the environment says nothing else. */
export function seedRange(count: number): [number, number] {
  const { TSPDK_SEED: only, TSPDK_SEEDS: said } = process.env;
  if (only !== undefined) return [Number(only), Number(only)];
  if (said === undefined) return [1, count];
  const [first, last] = said.split('-').map(Number);
  return last === undefined ? [1, first] : [first, last];
}

function failure(name: string, seed: number, error: unknown): Error {
  const file = process.argv[1] ?? 'the test file';
  const pattern = name.replace(/[^\w ]/g, '.');
  const text = error instanceof Error ? error.message : String(error);
  return new Error(
    `seed ${seed}: ${text}\nreplay it with: TSPDK_SEED=${seed} node --test --test-name-pattern='${pattern}' ${file}`,
    { cause: error },
  );
}
