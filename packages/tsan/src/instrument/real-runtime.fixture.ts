// Random programs on a view that is shared, `real-runtime.fixture.js SEED COUNT`: prints what each did, a line each. Where the sanitizer is loaded they
// are rewritten and checked by it, where not they run as they are: the lines are to be the same.

import { runInThisContext } from 'node:vm';
import fc from 'fast-check';
import { programs } from './programs.fixture.ts';
import { type Answers, hideTexts, outcomeOf, rewrite, textOf } from './run-both.fixture.ts';

const seed = Number(process.argv[2]);
const count = Number(process.argv[3]);
const sanitizer = (globalThis as { __jstsan?: { S: symbol; module: (table: object) => number } }).__jstsan;

function makeView(): Int32Array {
  const memory = new SharedArrayBuffer(16);
  // Once sent it counts as shared.
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(memory);
  port1.close();
  port2.close();
  const view = new Int32Array(memory);
  view.set([3, 1, 2, 0]);
  return view;
}

Object.assign(globalThis, { makeView, tag: sanitizer?.S });
runInThisContext(hideTexts);

for (const [index, program] of fc.sample(programs, { seed, numRuns: count }).entries()) {
  const source = textOf(program);
  try {
    const text = sanitizer ? rewrite(source, { allocate: (table) => sanitizer.module(table) }) : source;
    runInThisContext(text, { timeout: 5000 });
    console.log(index, JSON.stringify(outcomeOf(globalThis as unknown as Answers)));
  } catch (error) {
    // Of a program that does not parse acorn and V8 do not say the same.
    console.log(index, JSON.stringify({ result: (error as Error).name, log: [], state: [] }));
  }
}
