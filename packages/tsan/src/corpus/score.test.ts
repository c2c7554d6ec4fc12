// The judges of the corpus, judged: heads of programs, outcomes of runs, and the figures made of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kind } from '../report/report.ts';
import { type Program, parseExpected, readCorpus } from './program.ts';
import { judge } from './run.ts';
import { complaintsOf, falseAlarmsOf, type Result, scoreOf, tableOf } from './score.ts';

test('the corpus has at least 200 programs, in pairs, in every category', () => {
  const programs = readCorpus();
  assert(programs.length >= 200, `${programs.length}`);
  const stems = (racy: boolean) =>
    programs
      .filter(({ expected }) => expected.length > 0 === racy)
      .map(({ name }) => name.replace(/\.(race|mended)\./, '.'));
  assert.deepEqual(stems(true), stems(false));
  const wanted =
    'locks flags queues barriers messages wait-notify mixed-size tearing bulk buffers life-cycle ownership producer-consumer publication seqlocks litmus';
  assert.deepEqual([...new Set(programs.map(({ category }) => category))].sort(), wanted.split(' ').sort());
});

test('the head of a program says what is expected, in accordance with its name', () => {
  assert.deepEqual(parseExpected('// A: b.\n// expect: none\n\n', 'a.mended.mjs'), []);
  assert.deepEqual(parseExpected('// A: b.\n// expect: may-tear plain/atomic\n', 'a.race.cjs'), [
    'may-tear',
    'plain/atomic',
  ]);
  assert.throws(() => parseExpected('// A: b.\nlet x;\n', 'a.race.mjs'), /no title/);
  assert.throws(() => parseExpected('// A: b.\n// expect: races\n', 'a.race.mjs'), /'races' is none of plain\/plain/);
  assert.throws(() => parseExpected('// A: b.\n// expect: none\n', 'a.race.mjs'), /expects none/);
  assert.throws(() => parseExpected('// A: b.\n// expect: lock\n', 'a.mended.mjs'), /expects lock/);
  assert.throws(() => parseExpected('// A: b.\n// expect: none\n', 'a.mjs'), /neither/);
});

const line = (kind: Kind) => `${JSON.stringify({ pid: 1, summary: 'there', kind })}\n`;

test('a run is judged by its end and by what it printed', () => {
  assert.deepEqual(judge('0', '', '', 1), { reports: [], trouble: undefined, seconds: 1 });
  const raced = judge('66', `ThreadSanitizer: mode=perturb:seed=7\n${line('may-tear')}`, '', 1);
  assert.deepEqual(raced, { reports: [{ kind: 'may-tear', summary: 'there' }], trouble: undefined, seconds: 1 });
  assert.match(judge('66', '', '', 1).trouble!, /^ended with 66 instead of 0$/);
  assert.match(judge('0', line('lock'), '', 1).trouble!, /^ended with 0 instead of 66$/);
  assert.match(judge('1', 'Error: torn\n', '', 1).trouble!, /^ended with 1 instead of 0\n {4}Error: torn$/);
  assert.match(judge('0', '', 'hello', 1).trouble!, /^printed\n {4}hello$/);
  assert.match(judge('SIGKILL after 5 ms', '', '', 1).trouble!, /SIGKILL after 5 ms/);
});

function result(name: string, expected: readonly Kind[], ...runs: (readonly Kind[])[]): Result {
  const program: Program = { name, category: name.split('/')[0]!, path: name, expected };
  const outcomes = runs.map((found) => ({
    reports: found.map((kind) => ({ kind, summary: 'x' })),
    trouble: undefined,
    seconds: 1,
  }));
  return { program, outcomes };
}

const results = [
  result('a/1', ['plain/plain'], [], ['plain/plain']),
  result('a/2', ['plain/plain'], [], []),
  result('a/3', ['may-tear', 'plain/atomic'], ['plain/atomic', 'lock']),
  result('b/4', [], [], []),
  result('b/5', [], [], ['plain/plain']),
];

test('recall counts caught programs, precision also wrong kinds and reports of race-free programs', () => {
  const score = scoreOf(results);
  assert.equal(score.recall, 2 / 3);
  assert.equal(score.precision, 2 / 4);
  assert.deepEqual([score.racy, score.raceFree, score.runs, score.racyRuns, score.racyRunsCaught], [3, 2, 9, 5, 2]);
  assert.deepEqual(falseAlarmsOf(results[2]!), ['lock: x']);
  assert.deepEqual(scoreOf([]).recall, 1);
});

test('the table has a line for each category and one for all; every fault is named', () => {
  assert.match(
    tableOf(results),
    /^category .*\na +3 +2 +0 +1 +0\.667 +0\.667 .*\nb +0 +0 +2 +1 +1\.000 +0\.000 .*\nall +3 +2 +2 +2 /,
  );
  assert.deepEqual(complaintsOf(results), [
    'a/2: missed in 2 runs',
    'a/3: false alarm: lock: x',
    'b/5: false alarm: plain/plain: x',
  ]);
});
