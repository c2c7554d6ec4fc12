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

/** Text of programs in node_modules, but not what is a repetition of something else. */
const files = readdirSync(modules, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.[cm]?js$/.test(entry.name) && !entry.parentPath.includes(`${sep}.`))
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((path) => readFileSync(path).length < bytesMax)
  .sort();

test('rewritten files of packages parse, and keep their lines', () => {
  let rewritten = 0;
  for (const path of files) {
    const source = readFileSync(path, 'utf8');
    const sourceType = isModule(source) ? 'module' : 'commonjs';
    const result = instrument(source, { url: pathToFileURL(path).href, sourceType, allocate: () => 1 });
    if (!result) continue;
    rewritten++;
    assert.doesNotThrow(() => parse(result.code, { ecmaVersion: 'latest', sourceType }), path);
    assert.equal(result.code.split('\n').length, source.split('\n').length, path);
  }
  assert(rewritten > 10, `${rewritten} files`);
});

function isModule(source: string): boolean {
  try {
    parse(source, { ecmaVersion: 'latest', sourceType: 'commonjs' });
    return false;
  } catch {
    return true;
  }
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
