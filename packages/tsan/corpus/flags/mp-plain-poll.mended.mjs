// Message passing through an atomic flag: the reader polls it atomically.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function until(flags, at, value) {
  while (Atomics.load(flags, at) !== value);
}

function reader(shared) {
  const data = new Uint8Array(shared, 24, 3);
  const flag = new Uint32Array(shared, 4, 1);
  until(flag, 0, 1);
  if (data.at(-1) !== 3) throw new Error('not seen');
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
