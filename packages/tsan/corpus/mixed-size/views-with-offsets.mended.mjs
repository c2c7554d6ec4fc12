// Two views with offsets of their own: their elements are the same.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function left(shared) {
  const words = new Int16Array(shared, 2, 4);
  Atomics.store(words, 3, 2);
}

function right(shared) {
  const shorts = new Int16Array(shared, 4, 4);
  if (Atomics.compareExchange(shorts, 2, 5, 6) === 5) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['left', 'right']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { left, right };
  roles[workerData.role](workerData.shared);
}
