// What the runs of the corpus say of the sanitizer: recall over the programs with a race, precision over all that are reported, by category. A racy
// program counts as caught when one of its runs reports an expected kind; as a false alarm counts a race-free program with any report, and a racy
// one with a report of a kind it does not expect.

import type { Program } from './program.ts';
import type { Outcome } from './run.ts';

export interface Result {
  readonly program: Program;
  readonly outcomes: readonly Outcome[];
}

export interface Score {
  readonly racy: number;
  readonly caught: number;
  readonly raceFree: number;
  readonly falseAlarms: number;
  readonly runs: number;
  /** Of the runs of racy programs, those that reported a race. */
  readonly racyRuns: number;
  readonly racyRunsCaught: number;
  readonly recall: number;
  readonly precision: number;
}

export function isCaught({ program, outcomes }: Result): boolean {
  return outcomes.some((outcome) => reportsExpected(program, outcome));
}

export function reportsExpected({ expected }: Program, { reports }: Outcome): boolean {
  return reports.some(({ kind }) => expected.includes(kind));
}

/** Reports that are wrong for this program: what they say, without repetition. */
export function falseAlarmsOf({ program, outcomes }: Result): string[] {
  const wrong = outcomes.flatMap(({ reports }) => reports.filter(({ kind }) => !program.expected.includes(kind)));
  return [...new Set(wrong.map(({ kind, summary }) => `${kind}: ${summary}`))];
}

export function scoreOf(results: readonly Result[]): Score {
  const racy = results.filter(({ program }) => program.expected.length > 0);
  const caught = racy.filter(isCaught).length;
  const falseAlarms = results.filter((result) => falseAlarmsOf(result).length > 0).length;
  const racyRuns = racy.flatMap(({ program, outcomes }) =>
    outcomes.map((outcome) => reportsExpected(program, outcome)),
  );
  return {
    racy: racy.length,
    caught,
    raceFree: results.length - racy.length,
    falseAlarms,
    runs: results.reduce((sum, { outcomes }) => sum + outcomes.length, 0),
    racyRuns: racyRuns.length,
    racyRunsCaught: racyRuns.filter(Boolean).length,
    recall: racy.length === 0 ? 1 : caught / racy.length,
    precision: caught + falseAlarms === 0 ? 1 : caught / (caught + falseAlarms),
  };
}

/** A line for each category, and one for all. */
export function tableOf(results: readonly Result[]): string {
  const categories = [...new Set(results.map(({ program }) => program.category))];
  const rows = categories.map((name) => row(name, scoreOf(results.filter(({ program }) => program.category === name))));
  const head = [
    'category',
    'races',
    'caught',
    'race-free',
    'false alarms',
    'recall',
    'precision',
    'runs',
    'caught per run',
  ];
  const lines = [head, ...rows, row('all', scoreOf(results))];
  const widths = head.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)));
  return lines
    .map((cells) =>
      cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join('  '),
    )
    .join('\n');
}

function row(name: string, score: Score): string[] {
  const { racy, caught, raceFree, falseAlarms, recall, precision, runs, racyRuns, racyRunsCaught } = score;
  const counts = [racy, caught, raceFree, falseAlarms].map(String);
  const perRun = racyRuns === 0 ? '' : `${Math.round((100 * racyRunsCaught) / racyRuns)} %`;
  return [name, ...counts, recall.toFixed(3), precision.toFixed(3), String(runs), perRun];
}

/** Every miss, false alarm and trouble, by program. */
export function complaintsOf(results: readonly Result[]): string[] {
  return results.flatMap((result) => {
    const { program, outcomes } = result;
    const found = falseAlarmsOf(result).map((text) => `${program.name}: false alarm: ${text}`);
    if (program.expected.length > 0 && !isCaught(result))
      found.push(`${program.name}: missed in ${outcomes.length} runs`);
    for (const text of new Set(outcomes.flatMap(({ trouble }) => trouble ?? [])))
      found.push(`${program.name}: ${text}`);
    return found;
  });
}
