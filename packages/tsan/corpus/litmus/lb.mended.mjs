// Load buffering: both sides are atomic.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function left(shared) {
  const x = new Int8Array(shared, 5, 1);
  const y = new Int8Array(shared, 21, 1);
  const seen = Atomics.load(x, 0);
  Atomics.store(y, 0, 1);
  if (seen > 1) throw new Error('impossible');
}

function right(shared) {
  const x = new Int8Array(shared, 5, 1);
  const y = new Int8Array(shared, 21, 1);
  const seen = Atomics.load(y, 0);
  Atomics.store(x, 0, 1);
  if (seen > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: shared });
  left(shared);
} else {
  right(workerData);
}
