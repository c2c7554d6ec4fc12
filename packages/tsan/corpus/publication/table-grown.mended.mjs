// A table that is copied to a larger one: all entries are there before.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function until(flags, at, value) {
  while (Atomics.load(flags, at) !== value);
}

function grower(shared) {
  const base = new Int32Array(shared, 0, 1);
  const heap = new Int32Array(shared, 64, 64);
  for (let at = 0; at < 4; at++) heap[32 + at] = heap[at];
  heap[32 + 4] = 5;
  Atomics.store(base, 0, 32);
}

function user(shared) {
  const base = new Int32Array(shared, 0, 1);
  const heap = new Int32Array(shared, 64, 64);
  until(base, 0, 32);
  if (heap[32 + 4] > 5) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(512);
  for (const role of ['grower', 'user']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { grower, user };
  roles[workerData.role](workerData.shared);
}
