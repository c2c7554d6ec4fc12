// A condition variable with its mutex: the condition is checked outside the mutex.
// expect: plain/plain

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

function consumer(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  const turn = new Int32Array(shared, 4, 1);
  const met = new Int32Array(shared, 8, 1);
  const items = new Int32Array(shared, 32, 1);
  meet(met, 0, 2);
  for (let taken = 0; taken < 50; ) {
    const seen = Atomics.load(turn, 0);
    if (items[0] === 0) {
      Atomics.wait(turn, 0, seen);
      continue;
    }
    lock(mutex);
    items[0]--;
    taken++;
    unlock(mutex);
  }
}

function producer(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  const turn = new Int32Array(shared, 4, 1);
  const met = new Int32Array(shared, 8, 1);
  const items = new Int32Array(shared, 32, 1);
  meet(met, 0, 2);
  for (let made = 0; made < 50; made++) {
    lock(mutex);
    items[0]++;
    unlock(mutex);
    Atomics.add(turn, 0, 1);
    Atomics.notify(turn, 0);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: shared });
  consumer(shared);
} else {
  producer(workerData);
}
