// Runs the corpus under the sanitizer: each program several times with another seed, several programs at once. A racy program is done when it is caught;
// a race-free one has to stay silent in all its runs.

import type { Program } from './program.ts';
import { type Outcome, run } from './run.ts';
import { type Result, reportsExpected } from './score.ts';

export interface Plan {
  readonly programs: readonly Program[];
  /** Runs of each racy program at most, until it is caught. */
  readonly racyRuns: number;
  readonly raceFreeRuns: number;
  /** Runs racy programs to the end even when they are caught, to see how often they are. */
  readonly everyRun?: boolean;
  /** The first run's; each further run has the next one. */
  readonly seed: number;
  readonly processes: number;
  /** Of the sanitizer, beside the seed; undefined runs without it. */
  readonly options?: string;
  readonly onResult?: (result: Result) => void;
}

export async function judgeCorpus(plan: Plan): Promise<Result[]> {
  const queue = [...plan.programs];
  const results: Result[] = [];
  const worker = async () => {
    for (let program = queue.shift(); program !== undefined; program = queue.shift()) {
      const result = { program, outcomes: await runsOf(program, plan) };
      results.push(result);
      plan.onResult?.(result);
    }
  };
  await Promise.all(Array.from({ length: plan.processes }, worker));
  return results.sort((a, b) => (a.program.name < b.program.name ? -1 : 1));
}

async function runsOf(program: Program, plan: Plan): Promise<Outcome[]> {
  const { racyRuns, raceFreeRuns, everyRun = false, seed, options } = plan;
  const racy = program.expected.length > 0;
  const outcomes: Outcome[] = [];
  for (let count = 0; count < (racy ? racyRuns : raceFreeRuns); count++) {
    const mode = `perturb=1:seed=${(seed + count) >>> 0}`;
    const outcome = await run({ file: program.path, options: options === undefined ? mode : `${options}:${mode}` });
    outcomes.push(outcome);
    if (outcome.trouble !== undefined) break;
    if (racy && !everyRun && reportsExpected(program, outcome)) break;
  }
  return outcomes;
}
