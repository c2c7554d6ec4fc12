// Message passing through an atomic flag: the reader polls it by plain reads.
// expect: plain/atomic plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function reader(shared) {
  const data = new Uint8Array(shared, 24, 3);
  const flag = new Uint32Array(shared, 4, 1);
  let seen = 0;
  for (let tries = 0; tries < 1000 && seen === 0; tries++) seen = flag[0];
  if (seen === 1) data.at(-1);
}

function writer(shared) {
  const data = new Uint8Array(shared, 24, 3);
  const flag = new Uint32Array(shared, 4, 1);
  data[0] = 1;
  data[2] = 3;
  Atomics.store(flag, 0, 1);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: shared });
  reader(shared);
} else {
  writer(workerData);
}
