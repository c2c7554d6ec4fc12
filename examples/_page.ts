// Whether the code that a page of docs/ shows is in the files that it names: the lines of each piece, in their order. For the tests of the examples.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** `least`: how many pieces there are at least. @throws {AssertionError} naming file and line */
export function checkPage(name: string, least: number): void {
  const page = readFileSync(join(root, 'docs', name), 'utf8');
  const shown = [...page.matchAll(/^```ts\n\/\/ (examples\/\S+)\n([\s\S]*?)^```$/gm)];
  assert.equal(shown.length, [...page.matchAll(/^```ts$/gm)].length, 'each piece names its file');
  assert.ok(shown.length >= least, `${shown.length} pieces of code in ${name}`);
  for (const [, path, code] of shown) {
    const lines = readFileSync(join(root, path), 'utf8').split('\n');
    let from = 0;
    for (const line of code.trimEnd().split('\n')) {
      const at = lines.indexOf(line, from);
      assert.notEqual(at, -1, `${path} has no line "${line}" there`);
      from = at + 1;
    }
  }
}
