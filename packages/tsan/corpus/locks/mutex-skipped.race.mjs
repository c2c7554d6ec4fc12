// A counter behind a mutex: one of the two threads does not take it.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function lock(mutex, at = 0) {
  while (Atomics.compareExchange(mutex, at, 0, 1) !== 0) Atomics.wait(mutex, at, 1);
}

function unlock(mutex, at = 0) {
  Atomics.store(mutex, at, 0);
  Atomics.notify(mutex, at, 1);
}

function careful(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  const count = new Int32Array(shared, 4, 1);
  for (let round = 0; round < 100; round++) {
    lock(mutex);
    count[0]++;
    unlock(mutex);
  }
}

function careless(shared) {
  const count = new Int32Array(shared, 4, 1);
  for (let round = 0; round < 100; round++) {
    count[0] += 2;
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['careful', 'careless']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { careful, careless };
  roles[workerData.role](workerData.shared);
}
