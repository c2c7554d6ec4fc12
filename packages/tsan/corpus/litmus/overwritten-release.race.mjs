// A release that somebody else's store hides: the reader synchronises with the other store only.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function writer(shared) {
  const flag = new Int32Array(shared, 0, 2);
  const data = new Int32Array(shared, 16, 1);
  data[0] = 1;
  Atomics.store(flag, 0, 1);
  Atomics.store(flag, 1, 1);
}

function hider(shared) {
  const flag = new Int32Array(shared, 0, 2);
  Atomics.store(flag, 0, 2);
}

function reader(shared) {
  const flag = new Int32Array(shared, 0, 2);
  const data = new Int32Array(shared, 16, 1);
  for (let tries = 0; tries < 1e7 && Atomics.load(flag, 0) !== 2; tries++);
  if (Atomics.load(flag, 0) === 2 && data[0] > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['hider', 'reader']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
  writer(shared);
} else {
  const roles = { hider, reader };
  roles[workerData.role](workerData.shared);
}
