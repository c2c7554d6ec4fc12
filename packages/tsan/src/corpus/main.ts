// `npm run corpus [-- [PATTERN ...] [--runs=N] [--race-free-runs=N] [--every-run] [--seed=N] [--plain]]`: the whole corpus, and a table of what was found.
// N perturbed runs of each program: all of them of a race-free one, of a racy one until it is caught (with --every-run, all of them too).
// Exits with 1 below the goals: recall 0.98, precision 1.00.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { judgeCorpus } from './judge-corpus.ts';
import { readCorpus } from './program.ts';
import { run } from './run.ts';
import { complaintsOf, scoreOf, tableOf } from './score.ts';

export const goals = { recall: 0.98, precision: 1 };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '10' },
    /** Another number for the race-free ones. */
    'race-free-runs': { type: 'string' },
    'every-run': { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
    plain: { type: 'boolean', default: false },
  },
});
const programs = readCorpus().filter(
  ({ name }) => positionals.length === 0 || positionals.some((pattern) => name.includes(pattern)),
);
const processes = availableParallelism();

if (values.plain) {
  for (const { path, name } of programs) {
    const { trouble } = await run({ file: path, options: undefined });
    if (trouble !== undefined) {
      console.log(`${name}: ${trouble}`);
      process.exitCode = 1;
    }
  }
  console.log(`${programs.length} programs ran without the sanitizer`);
} else {
  console.log(`Node ${process.versions.node}, seed ${values.seed}, ${processes} processes`);
  const results = await judgeCorpus({
    programs,
    racyRuns: Number(values.runs),
    raceFreeRuns: Number(values['race-free-runs'] ?? values.runs),
    everyRun: values['every-run'],
    seed: Number(values.seed),
    processes,
    // As they are found: the whole takes minutes.
    onResult: (result) => {
      for (const line of complaintsOf([result])) console.log(line);
    },
  });
  console.log(tableOf(results));
  const { recall, precision } = scoreOf(results);
  const failed =
    recall < goals.recall ||
    precision < goals.precision ||
    results.some(({ outcomes }) => outcomes.some(({ trouble }) => trouble !== undefined));
  process.exitCode = failed ? 1 : 0;
}
