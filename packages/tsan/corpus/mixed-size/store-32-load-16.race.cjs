// An atomic word of 32 bits: its lower half is loaded atomically.
// expect: mixed-size

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function writer(shared) {
  const word = new Uint32Array(shared, 0, 1);
  Atomics.store(word, 0, 0x10001);
}

function reader(shared) {
  const half = new Uint16Array(shared, 0, 2);
  const seen = Atomics.load(half, 0);
  if (seen > 0x10001) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  writer(shared);
} else {
  reader(workerData);
}
