// The README's first program does what the README shows.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { test } from 'node:test';
import { packagePath } from './run.ts';

const text = readFileSync(packagePath('README.md'), 'utf8');
const program = /```js\n([\s\S]*?)```/.exec(text)![1]!;
const shown = /```console\n\$ .*\n([\s\S]*?)\$ echo/.exec(text)![1]!;

function runs(source: string): { status: number | null; stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'jstsan-readme-'));
  writeFileSync(join(folder, 'counter.mjs'), source);
  const env = { ...process.env, JSTSAN_OPTIONS: `strip_path_prefix='${folder}${sep}'` };
  const command = [packagePath('bin/tsan.js'), 'counter.mjs'];
  const ended = spawnSync(process.execPath, command, { cwd: folder, encoding: 'utf8', env, timeout: 60_000 });
  rmSync(folder, { recursive: true });
  return ended;
}

/** What differs from run to run: the process, who of the two came first and by which access, and whether it has ended. */
function shape(report: string): string {
  const alike = report
    .replace(/pid=\d+/g, 'pid')
    .replace(/\bT[12]\b/g, 'T')
    .replace(/tid=\d+, \w+/g, 'tid');
  return alike.replace(/(Write|Read|Previous write|Previous read) of/g, 'Access of');
}

test('the first program of the README is reported as the README shows it', () => {
  const { status, stderr } = runs(program);
  assert.equal(status, 66);
  assert.equal(shape(stderr), shape(shown));
});

test('mended as the README says it ends silently', () => {
  const { status, stderr } = runs(program.replace('hits[0]++', 'Atomics.add(hits, 0, 1)'));
  assert.deepEqual([status, stderr], [0, '']);
});
