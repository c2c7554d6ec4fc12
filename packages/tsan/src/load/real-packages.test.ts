// Real code stays what it is: rewritten files of packages parse and keep their lines, and acorn and fast-check come to the same results under the sanitizer.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parse } from 'acorn';
import { instrument } from '../instrument/index.ts';
import { registerUrl, runNode } from './program.fixture.ts';

const modules = fileURLToPath(new URL('../../../../node_modules', import.meta.url));
const bytesMax = 600_000;

const filesMax = 200;

/** Text of programs in node_modules, but not what is a repetition of something else, and no text that is broken on purpose. */
const all = readdirSync(modules, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.[cm]?js$/.test(entry.name) && !entry.parentPath.includes(`${sep}.`))
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((path) => readFileSync(path).length < bytesMax)
  .sort();
const files = all.filter((path, index) => index % Math.ceil(all.length / filesMax) === 0 && typeOf(path) !== undefined);

test('rewritten files of packages parse, and keep their lines', () => {
  let rewritten = 0;
  for (const path of files) {
    const source = readFileSync(path, 'utf8');
    const sourceType = typeOf(path) as SourceType;
    const result = instrument(source, { url: pathToFileURL(path).href, sourceType, allocate: () => 1 });
    if (!result) continue;
    rewritten++;
    assert.doesNotThrow(() => parse(result.code, { ecmaVersion: 'latest', sourceType }), path);
    assert.equal(result.code.split('\n').length, source.split('\n').length, path);
  }
  assert(rewritten > 10, `${rewritten} files`);
});

type SourceType = 'module' | 'commonjs';

/** What kind of source it is; undefined when it does not parse as either. */
function typeOf(path: string): SourceType | undefined {
  const source = readFileSync(path, 'utf8');
  for (const sourceType of ['commonjs', 'module'] as const) {
    try {
      parse(source, { ecmaVersion: 'latest', sourceType });
      return sourceType;
    } catch {}
  }
  return undefined;
}

test('acorn and fast-check come to the same results', () => {
  const program = fileURLToPath(new URL('./real-packages.fixture.js', import.meta.url));
  const some = files.filter((_, index) => index % Math.ceil(files.length / 40) === 0);
  const plain = runNode({}, [program, ...some]);
  const checked = runNode({}, ['--import', registerUrl, program, ...some]);
  assert.equal(plain.stderr, '');
  assert.equal(checked.stderr, '');
  assert.equal(checked.stdout, plain.stdout);
  assert(plain.stdout.split('\n').length > some.length + 12);
});
