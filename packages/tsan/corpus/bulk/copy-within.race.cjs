// A range that is moved inside a buffer: its source is written by another thread.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function mover(shared) {
  const bytes = new Int8Array(shared, 0, 32);
  bytes.copyWithin(16, 0, 8);
}

function writer(shared) {
  const bytes = new Int8Array(shared, 0, 32);
  bytes[7] = 1;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  mover(shared);
} else {
  writer(workerData);
}
