// A pair of words that belong together: they are one atomic word of 64 bits.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function writer(shared) {
  const packed = new BigInt64Array(shared, 0, 1);
  Atomics.store(packed, 0, 1n - (1n << 32n));
}

function reader(shared) {
  const packed = new BigInt64Array(shared, 0, 1);
  const seen = Atomics.load(packed, 0);
  if (seen !== 0n && seen !== 1n - (1n << 32n)) throw new Error('torn');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: shared });
  writer(shared);
} else {
  reader(workerData);
}
