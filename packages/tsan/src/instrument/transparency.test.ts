// Random programs do the same rewritten as they are: results, exceptions and their messages, the order of calls, properties, `this`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'acorn';
import fc from 'fast-check';
import { programs } from './programs.fixture.ts';
import { type Outcome, run } from './run-both.fixture.ts';

const runs = Number(process.env.TSAN_PROPERTY_RUNS ?? 1500);
const seed = Number(process.env.TSAN_PROPERTY_SEED ?? Date.now() % 2 ** 31);

/** V8 shows the text of what is no function or cannot be iterated; of rewritten text it shows other text. */
const shown = /.*? (?=is not (?:a function|iterable|a constructor|async iterable)|is not a function or)/;

function comparable({ result, log, state }: Outcome): Outcome {
  const plain = (text: string) =>
    /is not (a function|iterable|a constructor)|estructure/.test(text)
      ? text.replace(shown, '').replace(/estructure .*/, '')
      : text;
  return { result: plain(result), log: log.map(plain), state };
}

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
      // The text of a function is not what it was; a program that looks at it may see that.
      fc.pre(!JSON.stringify(rewritten.outcome).includes('__jstsan'));
      assert.deepEqual(comparable(rewritten.outcome), comparable(plain.outcome));
      ran++;
    }),
    { numRuns: runs, seed, maxSkipsPerRun: 200 },
  );
  assert(ran >= runs);
});
