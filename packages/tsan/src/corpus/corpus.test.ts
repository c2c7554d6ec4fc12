// A sample of the corpus under the sanitizer, drawn by the seed: as much as the time of `npm test` allows. A racy program has ten runs to be caught.
// `npm run corpus` runs all of them, and more often.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeCorpus } from './judge-corpus.ts';
import { readCorpus } from './program.ts';
import { complaintsOf, scoreOf, tableOf } from './score.ts';

const goals = { recall: 0.98, precision: 1 };
/** Takes about a minute on two idle cores; a count and no time, so that a busy machine checks as much as an idle one. */
const sample = 60;

test('recall is at least 0.98 and precision 1 on the corpus', async (t) => {
  const seed = Number(process.env.TSPDK_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`TSPDK_SEED=${seed}`);
  const results = await judgeCorpus({
    programs: shuffled(readCorpus(), seed).slice(0, sample),
    racyRuns: 10,
    raceFreeRuns: 1,
    seed,
    processes: 2,
  });
  console.log(tableOf(results));
  const { recall, precision, racy, raceFree } = scoreOf(results);
  const complaints = complaintsOf(results).join('\n');
  assert.equal(racy + raceFree, sample);
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
