// Two counters of 16 bits beside each other: they are reset by one store of 32 bits.
// expect: mixed-size

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function counter(shared) {
  const counters = new Int16Array(shared, 4, 2);
  for (let round = 0; round < 30; round++) {
    Atomics.add(counters, 0, 1);
    Atomics.sub(counters, 1, 1);
  }
}

function resetter(shared) {
  const both = new Int32Array(shared, 4, 1);
  if (Atomics.exchange(both, 0, 0) === 1) return;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: shared });
  counter(shared);
} else {
  resetter(workerData);
}
