// A view that is spread into an array: it is spread while it is written.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function reader(shared) {
  const right = new Int8Array(shared, 8, 8);
  const all = [...right, 1];
  if (all.length !== 9) throw new Error('impossible');
}

function writer(shared) {
  const left = new Int8Array(shared, 0, 8);
  const right = new Int8Array(shared, 8, 8);
  right[3]--;
  left.at(0);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['reader', 'writer']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { reader, writer };
  roles[workerData.role](workerData.shared);
}
