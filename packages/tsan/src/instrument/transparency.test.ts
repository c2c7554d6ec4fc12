// Random programs do the same rewritten as they are: results, exceptions and their messages, the order of calls, properties, `this`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'acorn';
import fc from 'fast-check';
import { registerUrl, runNode } from '../load/program.fixture.ts';
import { programs } from './programs.fixture.ts';
import { comparable, type Outcome, run } from './run-both.fixture.ts';

const runs = Number(process.env.TSAN_PROPERTY_RUNS ?? 400);
const seed = Number(process.env.TSAN_PROPERTY_SEED ?? Date.now() % 2 ** 31);

function isProgram(text: string): boolean {
  try {
    parse(`(function () { ${text} })`, { ecmaVersion: 'latest' });
    return true;
  } catch {
    return false;
  }
}

test(`random programs do the same (seed ${seed})`, () => {
  let ran = 0;
  fc.assert(
    fc.property(programs, (program) => {
      fc.pre(isProgram(program));
      const plain = run(program, false);
      const rewritten = run(program, true);
      const [actual, expected] = comparable(rewritten.outcome, plain.outcome);
      assert.deepEqual(actual, expected);
      ran++;
    }),
    { numRuns: runs, seed, maxSkipsPerRun: 200 },
  );
  assert(ran >= runs);
});

/** Of a line of the fixture. */
const outcome = (line: string | undefined): Outcome => JSON.parse(line!.replace(/^\d+ /, ''));

test(`and with the sanitizer itself (seed ${seed})`, () => {
  const program = fileURLToPath(new URL('./real-runtime.fixture.js', import.meta.url));
  const args = [program, String(seed), String(Math.ceil(runs / 4))];
  const plain = runNode({}, args);
  const checked = runNode({}, ['--import', registerUrl, ...args]);
  assert.equal(plain.stderr, '');
  assert.equal(checked.stderr, '');
  assert.equal(checked.code, 0);
  const [expected, actual] = [plain, checked].map(({ stdout }) => stdout.trimEnd().split('\n'));
  assert(expected.length > runs / 8);
  for (const [index, line] of expected.entries()) {
    // Iterators of views have functions of their own, and a program may look at them; V8 shows a function's text in messages.
    if (/native code|Symbol\(Symbol.iterator\):|Array Iterator\]/.test(`${actual[index]}${line}`)) continue;
    const [here, there] = comparable(outcome(actual[index]), outcome(line));
    assert.deepEqual(here, there, `program ${index}`);
  }
});
