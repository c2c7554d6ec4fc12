// Work for real packages, whose results are printed: acorn parses the files it is given, fast-check draws values. Printed text is the same with
// and without the sanitizer, or the sanitizer is not transparent. Instances other than those the sanitizer itself has loaded.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const { resolve } = createRequire(import.meta.url);

async function another<T>(path: string): Promise<T> {
  return (await import(`${pathToFileURL(path).href}?again`)) as T;
}

const acorn = await another<typeof import('acorn')>(resolve('acorn').replace(/\.js$/, '.mjs'));
const { default: fc } = await another<{ default: typeof import('fast-check') }>(
  resolve('fast-check').replace(/cjs.fast-check\.c?js$/, 'fast-check.js'),
);

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

const plain = (_: string, value: unknown) =>
  typeof value === 'bigint' || value instanceof RegExp ? String(value) : value;

function parsed(path: string): string {
  try {
    const options = { ecmaVersion: 'latest', sourceType: 'module', locations: true } as const;
    const comments: unknown[] = [];
    const tree = acorn.parse(readFileSync(path, 'utf8'), { ...options, onComment: comments as never });
    return digest(JSON.stringify([tree, comments], plain));
  } catch (error) {
    return (error as Error).message;
  }
}

for (const path of process.argv.slice(2)) console.log(parsed(path));

const arbitraries = {
  strings: fc.array(fc.string({ unit: 'grapheme' })),
  numbers: fc.array(fc.double()),
  bytes: fc.uint8Array(),
  floats: fc.float64Array(),
  objects: fc.object(),
  json: fc.json(),
  commands: fc.letrec((tie) => ({ tree: fc.oneof({ depthSize: 'small' }, fc.nat(), fc.array(tie('tree'))) })).tree,
  bigs: fc.bigInt(),
  dates: fc.date({ noInvalidDate: true }),
  shuffled: fc.shuffledSubarray([1, 2, 3, 4, 5, 6]),
  schedules: fc.uuid(),
  addresses: fc.webUrl(),
};
for (const [name, arbitrary] of Object.entries(arbitraries)) {
  console.log(name, digest(JSON.stringify(fc.sample(arbitrary as never, { seed: 7, numRuns: 60 }), plain)));
}
const failing = fc.check(
  fc.property(fc.array(fc.integer()), (list) => list.reduce((sum, x) => sum + x, 0) < 1000),
  { seed: 11 },
);
console.log(failing.numShrinks, failing.counterexamplePath, JSON.stringify(failing.counterexample));
