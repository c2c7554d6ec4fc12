// Packages of the registry, unchanged, under the sanitizer: nothing to report. And the ring buffer with one of its publishing stores made plain: reported.
// The programs that drive them are packages/tsan/real/.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { packagePath, run } from './run.ts';

/** Runs of each package; the goal is 20, which `TSPDK_REAL_RUNS=20` checks. */
const runs = Number(process.env.TSPDK_REAL_RUNS ?? 1);
const racyRuns = 10;
const names = ['ringbuf', 'piscina', 'tinypool', 'synckit', 'thread-stream', 'objectbuffer'];

for (const name of names) {
  test(`${name} has no race in ${runs} perturbed runs`, async () => {
    for (let seed = 1; seed <= runs; seed++) {
      const outcome = await run({ file: packagePath(`real/${name}.mjs`), options: `perturb=1:seed=${seed}` });
      assert.deepEqual({ ...outcome, seconds: 0 }, { reports: [], trouble: undefined, seconds: 0 }, `seed ${seed}`);
    }
  });
}

/** The package with its n-th `Atomics.store(this.X_ptr, 0, VALUE)` turned to `(this.X_ptr[0] = VALUE)`. */
function* mutantsOf(source: string): Generator<string> {
  for (const { index, 0: call, 1: pointer } of source.matchAll(/Atomics\.store\(\s*(this\.\w+_ptr),\s*0,/g)) {
    yield `${source.slice(0, index)}(${pointer}[0] =${source.slice(index + call.length)}`;
  }
}

test('ringbuf.js with one publish made plain is reported, whichever it is', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'jstsan-ringbuf-'));
  t.after(() => rm(folder, { recursive: true }));
  const original = createRequire(import.meta.url)
    .resolve('ringbuf.js')
    .replace(/\.js$/, '.mjs');
  const mutants = [...mutantsOf(readFileSync(original, 'utf8'))];
  assert.equal(mutants.length, 4);
  for (const [number, text] of mutants.entries()) {
    const file = join(folder, `${number}.mjs`);
    writeFileSync(file, text);
    const args = [pathToFileURL(file).href];
    // One of ten schedules must show it, as of every race here.
    let found = false;
    for (let seed = 1; seed <= racyRuns && !found; seed++) {
      const options = `perturb=1:seed=${seed}`;
      const { reports, trouble } = await run({ file: packagePath('real/ringbuf.mjs'), args, options });
      assert.equal(trouble, undefined, `mutant ${number}, seed ${seed}`);
      // A report names the program's place, not that of the sanitizer's stand-in for a built-in function.
      assert.deepEqual(
        reports.filter(({ summary }) => summary.includes('eval at')),
        [],
        `mutant ${number}, seed ${seed}`,
      );
      found = reports.some(({ kind, summary }) => kind === 'plain/atomic' && summary.includes(`${number}.mjs`));
    }
    assert(found, `mutant ${number} in ${racyRuns} runs`);
  }
});
