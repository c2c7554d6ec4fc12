// A slice that is copied out: it takes what is not written.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function reader(shared) {
  const values = new Float64Array(shared, 0, 8);
  const copy = values.slice(2, 4);
  if (copy.length > 3) throw new Error('impossible');
}

function writer(shared) {
  const values = new Float64Array(shared, 0, 8);
  values[4] = 4;
  values[1] = 1;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['reader', 'writer']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { reader, writer };
  roles[workerData.role](workerData.shared);
}
