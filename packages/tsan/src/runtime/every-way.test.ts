// Real threads: every way of passing memory and order keeps tags and edges, in both modes. That a way without its edge would be reported is seen in
// two-threads.test.ts and checker.test.ts; here none may be.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const fixture = fileURLToPath(
  new URL(`./every-way.fixture.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);

for (const options of ['', 'perturb=1:seed=1', 'perturb=1:seed=2']) {
  test(`memory and order by every way, JSTSAN_OPTIONS='${options}'`, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [fixture], {
      encoding: 'utf8',
      env: { ...process.env, JSTSAN_OPTIONS: options },
    });
    assert.equal(stderr, '');
    assert.equal(stdout, 'all ways\n');
    assert.equal(status, 0);
  });
}
