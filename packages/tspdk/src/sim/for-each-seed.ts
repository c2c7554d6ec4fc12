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

/** The first and the last seed to run: 1 and `count`, where the environment says nothing else. @throws {Error} when it names none, for then nothing would be run, and nothing fail */
export function seedRange(count: number): [number, number] {
  const { TSPDK_SEED: one, TSPDK_SEEDS: many } = process.env;
  const said = one !== undefined ? `${one}-${one}` : (many ?? `${count}`);
  const range = (said.includes('-') ? said : `1-${said}`).split('-').map(Number);
  const [first, last] = range;
  if (range.length !== 2 || !range.every(Number.isSafeInteger) || last < first) {
    throw new Error(`TSPDK_SEED, or TSPDK_SEEDS, names no seeds: ${one ?? many}`);
  }
  return [first, last];
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
