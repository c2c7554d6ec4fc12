// A write that is seen, and overwritten by one who has seen it: it is seen by an atomic read.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function left(shared) {
  const x = new Int32Array(shared, 0, 1);
  const y = new Int32Array(shared, 4, 1);
  x[0] = 2;
  Atomics.store(y, 0, 1);
}

function right(shared) {
  const x = new Int32Array(shared, 0, 1);
  const y = new Int32Array(shared, 4, 1);
  while (Atomics.load(y, 0) === 0);
  x[0] = 1;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['left', 'right']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { left, right };
  roles[workerData.role](workerData.shared);
}
