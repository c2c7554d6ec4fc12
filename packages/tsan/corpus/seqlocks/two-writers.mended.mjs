// A sequence lock with two writers: a mutex excludes them.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function lock(mutex, at = 0) {
  while (Atomics.compareExchange(mutex, at, 0, 1) !== 0) Atomics.wait(mutex, at, 1);
}

function unlock(mutex, at = 0) {
  Atomics.store(mutex, at, 0);
  Atomics.notify(mutex, at, 1);
}

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function one(shared) {
  const sequence = new Int32Array(shared, 0, 1);
  const mutex = new Int32Array(shared, 4, 1);
  const met = new Int32Array(shared, 8, 1);
  const data = new Int32Array(shared, 16, 2);
  for (let round = 1; round <= 20; round++) {
    meet(met, 0, round * 2);
    lock(mutex);
    data[0]++;
    Atomics.add(sequence, 0, 2);
    unlock(mutex);
  }
}

function two(shared) {
  const sequence = new Int32Array(shared, 0, 1);
  const mutex = new Int32Array(shared, 4, 1);
  const met = new Int32Array(shared, 8, 1);
  const data = new Int32Array(shared, 16, 2);
  for (let round = 1; round <= 20; round++) {
    meet(met, 0, round * 2);
    lock(mutex);
    data[0]--;
    Atomics.add(sequence, 0, 2);
    unlock(mutex);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['one', 'two']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { one, two };
  roles[workerData.role](workerData.shared);
}
