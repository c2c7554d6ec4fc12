// The runner of test files must not lose a failure: each way in which a file can go wrong, tried on a file that does.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runFile } from './run-file.mjs';

async function runSource(t, source, timeoutMs = 60_000) {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-runner-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'made.test.mjs');
  writeFileSync(
    file,
    `import { test, describe } from 'node:test';\nimport assert from 'node:assert/strict';\n${source}`,
  );
  return await runFile(file, { timeoutMs });
}

const names = (list) => list.map(({ name }) => name);

test('passes, failures and skips are counted, with their reasons', async (t) => {
  const result = await runSource(
    t,
    `describe('group', () => { test('good', () => {}); test('bad', () => assert.equal(1, 2)); });
     test('left out', (t) => t.skip('no such program'));
     test('outer', async (t) => { await t.test('inner', () => { throw new Error('inside'); }); });`,
  );
  assert.equal(result.passed, 1);
  assert.deepEqual(names(result.failures), ['group > bad', 'outer > inner']);
  assert.match(result.failures[0].text, /1 !== 2/);
  assert.match(result.failures[1].text, /inside/);
  assert.deepEqual(result.skips, [{ name: 'left out', reason: 'no such program' }]);
});

test('a good file has no failures, and what it printed is kept', async (t) => {
  const result = await runSource(t, `test('good', () => { console.log('a line'); });`);
  assert.deepEqual([result.passed, result.failures, result.output], [1, [], 'a line\n']);
});

test('a crash fails, and names the test it was in', async (t) => {
  const result = await runSource(
    t,
    `test('first', () => {});
     test('crashing', async () => { await new Promise((r) => setTimeout(r, 200)); process.kill(process.pid, 'SIGKILL'); });`,
  );
  assert.deepEqual(names(result.failures), ['(file)']);
  assert.match(result.failures[0].text, /ended by SIGKILL/);
});

test('process.exit(0) before the end fails', async (t) => {
  const result = await runSource(t, `test('leaving', async () => { process.exit(0); });`);
  assert.equal(result.failures.length, 1);
  assert.match(result.failures[0].text, /before/);
});

test('a hang fails after the time given', async (t) => {
  const result = await runSource(t, `test('stuck', () => { for (;;); });`, 1500);
  assert.deepEqual(names(result.failures), ['(file)']);
  assert.match(result.failures[0].text, /no end after 1\.5 s/);
});

test('a handle left open fails', async (t) => {
  const result = await runSource(t, `test('leaky', () => { setInterval(() => {}, 1000); });`, 1500);
  assert.equal(result.failures.length, 1);
});

test('a process left behind fails, and is ended', async (t) => {
  const result = await runSource(
    t,
    `import { spawn } from 'node:child_process';
     test('careless', () => { const c = spawn('sleep', ['86399'], { stdio: 'ignore' }); c.unref(); console.log(c.pid); });`,
  );
  assert.equal(result.passed, 1);
  assert.deepEqual(names(result.failures), ['(file)']);
  assert.match(result.failures[0].text, /left processes behind:\n\d+ sleep 86399/);
});

test('a file without tests, and one that cannot be loaded, fail', async (t) => {
  assert.match((await runSource(t, '')).failures[0].text, /^ran no test/);
  assert.equal((await runSource(t, `import './not-there.mjs';`)).failures.length, 1);
});
