/** What is said of a disk's file that Node cannot read: the line, on every Node, and nothing that is not so. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { loadDisk, moduleUrl } from './load-disk.ts';

const dir = mkdtempSync(join(realpathSync(tmpdir()), 'tspdk-load-'));
after(() => rmSync(dir, { recursive: true, force: true }));

/** A file of `lines`, and what loading it fails with. */
async function refused(name: string, ...lines: string[]): Promise<{ path: string; error: Error & { stack: string } }> {
  const path = fileOf(name, lines);
  const error = await loadDisk(moduleUrl(path)).then(
    () => assert.fail(`${name} was loaded`),
    (thrown: unknown) => thrown,
  );
  assert(error instanceof Error && error.stack !== undefined);
  return { path, error: error as Error & { stack: string } };
}

function fileOf(name: string, lines: readonly string[]): string {
  const path = join(dir, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, lines.join('\n'));
  return path;
}

/** That `lines` are refused with the last of them, and the mark at `column` of it. */
async function shows(name: string, column: number, message: string, ...lines: string[]): Promise<void> {
  const { path, error } = await refused(name, ...lines);
  assert.equal(error.message, `disk module "${path}" failed to load: ${message}`);
  const place = `${path}:${lines.length}\n${lines.at(-1)}\n${' '.repeat(column)}^`;
  assert.equal(error.stack.slice(0, place.length), place);
  assert.match(error.stack.slice(place.length), /^\^*\n\nSyntaxError: /);
  assert.doesNotMatch(error.stack, /node:/);
}

const EQUALS = "Unexpected token '='";
const ESM = 'export const size = 1024;';

test('a line that is no JavaScript is shown, whatever the file is', async () => {
  for (const name of ['broken.mjs', 'untyped.js']) await shows(name, 13, EQUALS, ESM, 'const read = = 1;');
  await shows('broken.cjs', 13, EQUALS, 'const size = 1024;', 'const read = = 1;');
  await shows('SyntaxError/word.mjs', 25, EQUALS, ESM, 'SyntaxError; let error = = 1;');
  await shows('late.mjs', 0, 'Illegal return statement', '#!/usr/bin/env node', ESM, 'await 1;', 'return 1;');
});

test('so is one of TypeScript that has no meaning without the types', async (t) => {
  if (!(process.features as { readonly typescript?: unknown }).typescript)
    return t.skip('this Node runs no TypeScript');
  for (const name of ['early.ts', 'early.mts']) {
    const message = "Identifier 'size' has already been declared";
    await shows(name, 4, message, 'export const size: number = 1024;', 'let size = 2;');
  }
});

test('what Node says besides is no part of the place', async () => {
  process.env.NODE_DEBUG = 'esm,module,worker';
  try {
    await shows('warned.mjs', 13, EQUALS, ESM, 'const read = = 1;');
  } finally {
    delete process.env.NODE_DEBUG;
  }
});

test('no place is shown that is not that of the error', async () => {
  fileOf('other.mjs', ['export let q q;']);
  const other = await refused('imports.mjs', "import './other.mjs';");
  assert.match(other.error.stack, /^SyntaxError: Unexpected identifier 'q'/);
  // As an ES module its first line would be wrong.
  const thrown = await refused('sloppy.cjs', 'if (module.children === null) return;', 'JSON.parse("{");');
  assert.match(thrown.error.stack, /^SyntaxError: Expected property name .*\n +at JSON\.parse/);
});

test('the error is the user’s also where no other process may be started', async () => {
  const path = fileOf('alone.mjs', [ESM, 'const read = = 1;']);
  const flag = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission';
  const kit = new URL('./load-disk.js', import.meta.url).href;
  const program = `import { loadDisk } from ${JSON.stringify(kit)};
    await loadDisk(${JSON.stringify(moduleUrl(path))}).catch((error) => console.log(error.message, error.stack));`;
  const args = [flag, '--allow-fs-read=*', '--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  assert.equal(stdout, `disk module "${path}" failed to load: ${EQUALS} SyntaxError: ${EQUALS}\n`);
});
