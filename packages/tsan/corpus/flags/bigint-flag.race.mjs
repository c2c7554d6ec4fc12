// A flag of 64 bits: it is a plain element.
// expect: plain/plain may-tear

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function writer(shared) {
  const data = new Uint8ClampedArray(shared, 0, 4);
  const flag = new BigInt64Array(shared, 8, 1);
  data[3] = 300;
  flag[0] = 1n;
}

function reader(shared) {
  const data = new Uint8ClampedArray(shared, 0, 4);
  const flag = new BigInt64Array(shared, 8, 1);
  for (let tries = 0; tries < 500 && flag[0] === 0n; tries++);
  if (data[3] > 255) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['writer', 'reader']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { writer, reader };
  roles[workerData.role](workerData.shared);
}
