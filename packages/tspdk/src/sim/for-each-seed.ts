/**
 * The same simulated test over many seeds.
 *
 *   forEachSeed('stop from any core', 1000, async (sim) => { ... });
 */
import { test } from 'node:test';
import { type Sim, type SimOptions, simulate } from './simulate.ts';

/**
 * A test that runs `body` under the seeds 1 to `count`, each a simulation of its own. `TSPDK_SEEDS` replaces the count, `TSPDK_SEED` runs
 * exactly one. A failure names its seed and the line that replays it.
 */
export function forEachSeed(
  name: string,
  count: number,
  body: (sim: Sim) => Promise<void>,
  options: SimOptions = {},
): void {
  void test(`${name} (${seedCount(count)} seeds)`, async () => {
    const only = process.env.TSPDK_SEED;
    const [first, last] = only === undefined ? [1, seedCount(count)] : [Number(only), Number(only)];
    for (let seed = first; seed <= last; seed++) {
      try {
        await simulate(seed, options, body);
      } catch (error) {
        throw failure(name, seed, error);
      }
    }
  });
}

function seedCount(count: number): number {
  if (process.env.TSPDK_SEED !== undefined) return 1;
  return Number(process.env.TSPDK_SEEDS ?? count);
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
