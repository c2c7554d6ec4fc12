// Where the sanitizer cannot go on it says why and ends the process: the program never sees an exception of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runChecked } from '../load/program.fixture.ts';

test('a buffer whose shadow is more memory than there is', () => {
  const main = `
    import { Worker } from 'node:worker_threads';
    const shared = new SharedArrayBuffer(16, { maxByteLength: 2 ** 32 });
    try { new Worker('', { eval: true, workerData: shared }); } catch { console.log('caught'); }`;
  const { code, stdout, stderr } = runChecked({ 'main.mjs': main }, 'main.mjs');
  assert.equal(stdout, '');
  assert.equal(
    stderr,
    'ThreadSanitizer: a SharedArrayBuffer of 4294967296 bytes is given to another thread: cannot have 33554433 KB of shadow memory; stopped\n',
  );
  assert.equal(code, 1);
});
