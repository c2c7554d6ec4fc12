// A seeded sample of the mutants (`npm run mutants` is the whole): `npm test` fails when the sanitizer stops finding in the kit what it is there for.
//
// It does not fail by chance. Drawn is only from places that both threads of a driver come to over and over with nothing else that orders them, so whatever
// the schedule is, many of their accesses are unordered; each of them was caught in nearly every single run, and has ten runs here.
// (The third look of a SharedRing is left out: it comes only after a lost race.)
// And only loads and stores that were made plain are drawn. On today's processors they do what they did, so no driver hangs or fails for them: what
// catches them is a report of the sanitizer, or nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate, sampleOf, unchangedFor } from './mutants/generate.mjs';
import { dist, runMutants } from './mutants/run.mjs';

const sure = ['env/mailbox.js', 'env/shared-ring.js', 'env/shared-names.js', 'module/bdev/malloc/allocation-map.js'];
const seed = Number(process.env.TSPDK_SEED ?? Math.floor(Math.random() * 2 ** 30));
const how = { seed, jobs: 1 };

const mutants = generate(dist);
const sample = sampleOf(
  mutants.filter(({ file, name }) => sure.includes(file) && /: Atomics\.(load|store) made plain( \(2\))?$/.test(name)),
  8,
  seed,
);

test(`the sanitizer reports each of ${sample.length} mutants of the kit (TSPDK_SEED=${seed})`, async () => {
  const results = [];
  await runMutants(sample, { ...how, runs: 10 }, ({ name }, found) => results.push({ name, how: found?.how }));
  assert.deepEqual(
    results.filter((each) => each.how !== 'report'),
    [],
  );
  assert.equal(results.length, 8);
});

test(`the sanitizer reports nothing of the kit as it is (TSPDK_SEED=${seed})`, async () => {
  const results = [];
  // Every driver, as each goes by the kit's insides and is to be changed with them.
  await runMutants(unchangedFor(dist, mutants), { ...how, runs: 1 }, ({ file }, found) =>
    results.push({ file, found }),
  );
  assert.deepEqual(
    results.filter(({ found }) => found !== undefined),
    [],
  );
  assert(results.length > 0);
});
