// A place for one item: the producer waits until it is empty.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function producer(shared) {
  const full = new Int32Array(shared, 0, 1);
  const empty = new Int32Array(shared, 4, 1);
  const met = new Int32Array(shared, 8, 1);
  const item = new Uint8Array(shared, 32, 4);
  meet(met, 0, 2);
  for (let number = 1; number <= 60; number++) {
    while (Atomics.load(empty, 0) < number - 1);
    item.fill(number);
    Atomics.store(full, 0, number);
  }
}

function consumer(shared) {
  const full = new Int32Array(shared, 0, 1);
  const empty = new Int32Array(shared, 4, 1);
  const met = new Int32Array(shared, 8, 1);
  const item = new Uint8Array(shared, 32, 4);
  meet(met, 0, 2);
  for (let number = 1; number <= 60; number++) {
    while (Atomics.load(full, 0) < number);
    if (item[3] > 60) throw new Error('impossible');
    Atomics.store(empty, 0, number);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['producer', 'consumer']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { producer, consumer };
  roles[workerData.role](workerData.shared);
}
