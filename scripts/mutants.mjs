// `npm run mutants [-- PATTERN ...] [--sample=N] [--runs=N] [--seed=N] [--jobs=N]`: how much of what can be broken in the kit's use of shared memory does the sanitizer find?
//
// Each mutant is the kit with one Atomics operation made plain, or one step of a block's life changed (scripts/mutants/generate.mjs). A small program drives
// it under the sanitizer, perturbed, until it is caught or has run 10 times. Printed are the mutants with how they were caught, and the share; those that
// survive are listed with their reasons in scripts/mutants/survivors.json. Exit code 1 when one survives that is not, or less than 95 % are caught.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { bootstrap, command } from './bootstrap.mjs';
import { generate, sampleOf, unchangedFor } from './mutants/generate.mjs';
import { dist, runMutants } from './mutants/run.mjs';

const wantedShare = 0.95;

function option(args, name, otherwise) {
  const given = args.find((argument) => argument.startsWith(`--${name}=`));
  return given === undefined ? otherwise : Number(given.slice(name.length + 3));
}

await command(async (args) => {
  bootstrap();
  const seed = option(args, 'seed', Math.floor(Math.random() * 2 ** 30));
  const how = { seed, runs: option(args, 'runs', 10), jobs: option(args, 'jobs', availableParallelism()) };
  const patterns = args.filter((argument) => !argument.startsWith('-'));
  const reasons = new Map(
    JSON.parse(readFileSync(new URL('./mutants/survivors.json', import.meta.url), 'utf8')).map((each) => [
      each.mutant,
      each.reason,
    ]),
  );
  const chosen = generate(dist).filter(
    ({ name }) => patterns.length === 0 || patterns.some((part) => name.includes(part)),
  );
  const mutants = sampleOf(chosen, option(args, 'sample', chosen.length), seed);
  console.log(`${mutants.length} mutants, up to ${how.runs} runs each, seed ${seed}`);
  const unchanged = unchangedFor(dist, mutants);
  const trouble = [];
  await runMutants(unchanged, { ...how, runs: 1 }, ({ file }, found) => {
    if (found !== undefined) trouble.push(`${file}: ${found.how}: ${found.text}`);
  });
  if (trouble.length > 0) {
    console.log(`The kit as it is does not pass:\n${trouble.join('\n')}`);
    return 1;
  }
  let caught = 0;
  let reported = 0;
  const unexplained = [];
  await runMutants(mutants, how, (mutant, found) => {
    if (found !== undefined) {
      caught++;
      if (found.how === 'report') reported++;
      console.log(`caught    ${mutant.name}  ${found.how} in run ${found.runs}: ${found.text}`);
      return;
    }
    const reason = reasons.get(mutant.name);
    if (reason === undefined) unexplained.push(mutant.name);
    console.log(`survived  ${mutant.name}  ${reason ?? '(no reason is known)'}`);
  });
  const share = caught / mutants.length;
  console.log(
    `${caught} of ${mutants.length} caught (${(share * 100).toFixed(1)} %), ${reported} by a report; ${unexplained.length} survived without a known reason`,
  );
  return unexplained.length > 0 || share < wantedShare ? 1 : 0;
});
