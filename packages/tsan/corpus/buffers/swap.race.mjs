// Bytes that change places: they are swapped while one of them is read.
// expect: plain/plain may-tear

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function swapper(shared) {
  const buffer = Buffer.from(shared, 0, 24);
  buffer.subarray(0, 16).swap32();
}

function reader(shared) {
  const buffer = Buffer.from(shared, 0, 24);
  if (buffer.readUInt8(15) > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: shared });
  swapper(shared);
} else {
  reader(workerData);
}
