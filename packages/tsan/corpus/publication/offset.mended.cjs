// An object that is published by its offset: the offset is an atomic word.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function maker(shared) {
  const root = new Uint32Array(shared, 0, 1);
  const heap = new Int32Array(shared, 0, 16);
  const offset = 8;
  heap[offset] = 3;
  heap[offset + 1] = 4;
  Atomics.store(root, 0, offset);
}

function user(shared) {
  const root = new Uint32Array(shared, 0, 1);
  const heap = new Int32Array(shared, 0, 16);
  let offset = 0;
  while (offset === 0) offset = Atomics.load(root, 0);
  if (offset !== 0 && heap[offset] * heap[offset + 1] > 12) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  maker(shared);
} else {
  user(workerData);
}
