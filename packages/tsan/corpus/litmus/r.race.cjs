// A write that is followed by a write, and a write that is followed by a read: the word both write is plain.
// expect: plain/plain may-tear

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function left(shared) {
  const x = new BigInt64Array(shared, 0, 1);
  const y = new BigInt64Array(shared, 8, 1);
  Atomics.store(x, 0, 1n);
  y[0] = 1n;
}

function right(shared) {
  const x = new BigInt64Array(shared, 0, 1);
  const y = new BigInt64Array(shared, 8, 1);
  y[0] = 2n;
  if (Atomics.load(x, 0) > 1n) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  left(shared);
} else {
  right(workerData);
}
