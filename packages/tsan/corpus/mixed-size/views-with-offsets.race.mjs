// Two views with offsets of their own: their atomic elements overlap by two bytes.
// expect: mixed-size

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function left(shared) {
  const words = new Int32Array(shared, 4, 2);
  Atomics.store(words, 0, 0x20002);
}

function right(shared) {
  const shorts = new Int16Array(shared, 4, 4);
  if (Atomics.compareExchange(shorts, 1, 5, 6) === 5) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['left', 'right']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { left, right };
  roles[workerData.role](workerData.shared);
}
