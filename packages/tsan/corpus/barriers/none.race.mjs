// Four threads that write a cell each and read the one beside it: nothing stands between writing and reading.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function a(shared) {
  const cells = new Int32Array(shared, 64, 4);
  cells[0] = 1;

  if (cells[1] > 2) throw new Error('impossible');
}

function b(shared) {
  const cells = new Int32Array(shared, 64, 4);
  cells[1] = 2;

  if (cells[2] > 3) throw new Error('impossible');
}

function c(shared) {
  const cells = new Int32Array(shared, 64, 4);
  cells[2] = 3;

  if (cells[3] > 4) throw new Error('impossible');
}

function d(shared) {
  const cells = new Int32Array(shared, 64, 4);
  cells[3] = 4;

  if (cells[0] > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  for (const role of ['b', 'c', 'd']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
  a(shared);
} else {
  const roles = { b, c, d };
  roles[workerData.role](workerData.shared);
}
