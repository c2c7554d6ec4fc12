// The corpus under the sanitizer, as far as the time of `npm test` goes: every racy program until it is caught, in at most ten runs, and a sample of the
// race-free ones that the seed draws. `npm run corpus` runs all of them, and more often.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeCorpus } from './judge-corpus.ts';
import { readCorpus } from './program.ts';
import { complaintsOf, scoreOf, tableOf } from './score.ts';

const goals = { recall: 0.98, precision: 1 };
/** No further program is begun after this; of the race-free ones a part remains for another seed. */
const budgetMs = 80_000;

test('recall is at least 0.98 and precision 1 on the corpus', async (t) => {
  const seed = Number(process.env.TSPDK_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`TSPDK_SEED=${seed}`);
  const results = await judgeCorpus({
    programs: shuffled(readCorpus(), seed),
    racyRuns: 10,
    raceFreeRuns: 1,
    seed,
    processes: 2,
    budgetMs,
  });
  console.log(tableOf(results));
  const { recall, precision, racy, raceFree } = scoreOf(results);
  const complaints = complaintsOf(results).join('\n');
  assert(racy > 15 && raceFree > 15, `only ${racy} and ${raceFree} programs ran in ${budgetMs} ms`);
  assert(recall >= goals.recall, `recall is ${recall}\n${complaints}`);
  assert(precision >= goals.precision, `precision is ${precision}\n${complaints}`);
  assert.deepEqual(
    results.flatMap(({ outcomes }) => outcomes.flatMap(({ trouble }) => trouble ?? [])),
    [],
    complaints,
  );
});

/** Fisher-Yates with the seed's own numbers (mulberry32). */
function shuffled<T>(values: readonly T[], seed: number): T[] {
  const mixed = [...values];
  let state = seed;
  for (let left = mixed.length; left > 1; left--) {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    const at = ((bits ^ (bits >>> 14)) >>> 0) % left;
    [mixed[at], mixed[left - 1]] = [mixed[left - 1]!, mixed[at]!];
  }
  return mixed;
}
