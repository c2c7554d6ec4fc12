// A table that two threads update under a lock: they have one lock.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function lock(mutex, at = 0) {
  while (Atomics.compareExchange(mutex, at, 0, 1) !== 0) Atomics.wait(mutex, at, 1);
}

function unlock(mutex, at = 0) {
  Atomics.store(mutex, at, 0);
  Atomics.notify(mutex, at, 1);
}

function left(shared) {
  const locks = new Int32Array(shared, 0, 2);
  const table = new Uint16Array(shared, 64, 8);
  for (let row = 0; row < 8; row++) {
    lock(locks, 0);
    table[row] = table[row] + 1;
    unlock(locks, 0);
  }
}

function right(shared) {
  const locks = new Int32Array(shared, 0, 2);
  const table = new Uint16Array(shared, 64, 8);
  for (let row = 7; row >= 0; row--) {
    lock(locks, 0);
    table[row] = table[row] * 2;
    unlock(locks, 0);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(128);
  new Worker(new URL(import.meta.url), { workerData: shared });
  left(shared);
} else {
  right(workerData);
}
