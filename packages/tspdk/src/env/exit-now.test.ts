// The end of a process one of whose threads is inside a native call that does not return.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { ffi, ffiReason } from './ffi.ts';

const at = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href);

/** A worker says that it is about to wait for a signal that never comes. */
const program = `
  import { Worker } from 'node:worker_threads';
  import { exitNow } from ${at('./exit-now.js')};
  const stuck = \`
    import { parentPort } from 'node:worker_threads';
    import { ffi } from ${at('./ffi.js')};
    const pause = ffi.library(null).func('pause', 'int');
    parentPort.postMessage('waits');
    pause();
  \`;
  process.once('exit', (code) => console.log('listeners heard of', code));
  new Worker(new URL('data:text/javascript,' + encodeURIComponent(stuck))).once('message', () => exitNow(7));
`;

test('a thread that does not come back from a native call does not hold the end of the process', (t) => {
  if (ffi === null) return t.skip(ffiReason);
  const args = ['--input-type=module', '-e', program];
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 });
  assert.equal(signal, null, 'it ends by itself');
  assert.equal(status, 7, stderr);
  assert.equal(stdout, 'listeners heard of 7\n');
});
