// Write-to-read causality over three threads: all are atomic.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function first(shared) {
  const x = new Int32Array(shared, 4, 1);
  Atomics.store(x, 0, 1);
}

function second(shared) {
  const x = new Int32Array(shared, 4, 1);
  const y = new Int32Array(shared, 8, 1);
  if (Atomics.load(x, 0) === 1) Atomics.store(y, 0, 1);
}

function third(shared) {
  const x = new Int32Array(shared, 4, 1);
  const y = new Int32Array(shared, 8, 1);
  if (Atomics.load(y, 0) === 1 && Atomics.load(x, 0) > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['first', 'second', 'third'])
    new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { first, second, third };
  roles[workerData.role](workerData.shared);
}
