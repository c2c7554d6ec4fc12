// A pair of words that belong together: they are two plain words.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function writer(shared) {
  const pair = new Int32Array(shared, 0, 2);
  pair[0] = 1;
  pair[1] = -1;
}

function reader(shared) {
  const pair = new Int32Array(shared, 0, 2);
  const sum = pair[0] + pair[1];
  if (sum > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: shared });
  writer(shared);
} else {
  reader(workerData);
}
