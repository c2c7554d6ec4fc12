// A program cannot tell that built-ins are watched: random calls on views of shared memory give the results, exceptions and contents of the same calls elsewhere.
// In processes of their own, since what is patched stays patched.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const fixture = fileURLToPath(
  new URL(`./transparency.fixture.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);
const drawn = Math.floor(Math.random() * 2 ** 31);

for (const [seed, flags] of [
  [1, []],
  [drawn, []],
  [2, ['--disallow-code-generation-from-strings']],
] as const) {
  test(`built-ins on shared memory do what they do elsewhere, seed ${seed} ${flags.join(' ')}`, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, fixture, String(seed), '3000'], {
      encoding: 'utf8',
      env: { ...process.env, JSTSAN_OPTIONS: '' },
    });
    assert.equal(stderr, '');
    assert.equal(stdout, 'the same\n');
    assert.equal(status, 0);
  });
}
