// Four counters of a byte and a snapshot of all: the snapshot loads each.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function counter(shared) {
  const counters = new Uint8Array(shared, 32, 4);
  for (let round = 0; round < 40; round++) Atomics.add(counters, round % 4, 1);
}

function watcher(shared) {
  const counters = new Uint8Array(shared, 32, 4);
  for (let round = 0; round < 10; round++) {
    for (let at = 0; at < 4; at++) if (Atomics.load(counters, at) > 10) throw new Error('impossible');
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['counter', 'watcher']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { counter, watcher };
  roles[workerData.role](workerData.shared);
}
