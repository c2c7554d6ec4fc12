// A process with two real threads: the race is reported whatever the timing, and each way of ordering the two writes silences it.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const fixture = fileURLToPath(
  new URL(`./two-threads.fixture.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);

function run(kind: string) {
  const { status, stderr } = spawnSync(process.execPath, [fixture, kind], {
    encoding: 'utf8',
    env: { ...process.env, JSTSAN_OPTIONS: '' },
  });
  return { status, stderr };
}

test('two unordered writes are a race, with both stacks and the threads', () => {
  const { status, stderr } = run('race');
  assert.equal(status, 66, stderr);
  assert.match(stderr, /WARNING: ThreadSanitizer: data race/);
  assert.match(stderr, /write of size 4/i);
  assert.match(stderr, /put .*two-threads\.fixture/);
  assert.match(stderr, /Location is SharedArrayBuffer 1 of size 16/);
  assert.match(stderr, /Thread T1/);
});

// A simulator that counts atomic accesses must count the program's own alone.
test('the sanitizer calls none of the functions that a program puts in place of Atomics', () => {
  const { status, stderr } = run('replaced');
  assert.equal(status, 66, stderr);
  assert.match(stderr, /WARNING: ThreadSanitizer: data race/);
  assert.doesNotMatch(stderr, /own Atomics/);
});

for (const kind of ['atomics', 'message', 'exit']) {
  test(`the same writes ordered by ${kind} are none`, () => {
    const { status, stderr } = run(kind);
    assert.equal(stderr, '');
    assert.equal(status, 0);
  });
}
