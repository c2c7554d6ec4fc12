// Which cores there are, and that pinning a thread pins that one only.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { allowedCores, parseCoreList, pinThread } from './affinity.ts';
import { ffi } from './ffi.ts';

test('the kernel list form is read', () => {
  assert.deepEqual(parseCoreList('0-2,5,7-8\n'), [0, 1, 2, 5, 7, 8]);
  assert.deepEqual(parseCoreList('3'), [3]);
});

test('a core that cannot be is refused with its number', () => {
  assert.throws(() => pinThread([-1]), { code: 'EINVAL', message: /core -1/ });
  assert.throws(() => pinThread([1024]), { code: 'EINVAL', message: /core 1024/ });
  assert.throws(() => pinThread([0.5]), { code: 'EINVAL' });
});

test('without FFI nothing is pinned, and the reason is said', { skip: ffi !== null && 'there is FFI here' }, () => {
  const result = pinThread([0]);
  assert.equal(result.pinned, false);
  assert.match(result.reason, /no FFI/);
});

test('pinning holds for the calling thread only', { skip: ffi === null && 'there is no FFI here' }, async () => {
  const before = allowedCores();
  const core = before[before.length - 1];
  const source = `
    import { parentPort } from 'node:worker_threads';
    import { allowedCores, pinThread } from ${JSON.stringify(new URL('./affinity.js', import.meta.url).href)};
    const result = pinThread([${core}]);
    parentPort.postMessage({ result, cores: allowedCores() });`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  const seen = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  await worker.terminate();
  assert.deepEqual(seen, { result: { pinned: true, reason: '' }, cores: [core] });
  assert.deepEqual(allowedCores(), before);
});
