// Bytes that change places: the one that is read is not among them.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function swapper(shared) {
  const buffer = Buffer.from(shared, 0, 24);
  buffer.subarray(0, 16).swap32();
}

function reader(shared) {
  const buffer = Buffer.from(shared, 0, 24);
  if (buffer.readUInt8(16) > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: shared });
  swapper(shared);
} else {
  reader(workerData);
}
