// A barrier of three threads: it opens when all have come.
// expect: none

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  const start = (role) => new Worker(new URL(import.meta.url), { workerData: { shared, role } });
  start(1);
  // The third comes when the first is about to arrive.
  start(0).once('message', () => start(2));
} else {
  const { shared, role } = workerData;
  const arrived = new Int32Array(shared, 0, 1);
  const cells = new Int32Array(shared, 16, 3);
  cells[role] = role + 1;
  if (role === 0) parentPort.postMessage('here');
  Atomics.add(arrived, 0, 1);
  while (Atomics.load(arrived, 0) < 3);
  if (cells[0] + cells[1] + cells[2] > 6) throw new Error('impossible');
}
