// Four counters of a byte and a snapshot of all: the snapshot loads them as one word.
// expect: mixed-size

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function counter(shared) {
  const counters = new Uint8Array(shared, 32, 4);
  for (let round = 0; round < 40; round++) Atomics.add(counters, round % 4, 1);
}

function watcher(shared) {
  const all = new Int32Array(shared, 32, 1);
  for (let round = 0; round < 10; round++) {
    if (Atomics.load(all, 0) === -1) throw new Error('impossible');
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['counter', 'watcher']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { counter, watcher };
  roles[workerData.role](workerData.shared);
}
