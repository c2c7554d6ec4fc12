// An atomic word of 32 bits: it is loaded whole.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function writer(shared) {
  const word = new Uint32Array(shared, 0, 1);
  Atomics.store(word, 0, 0x10001);
}

function reader(shared) {
  const word = new Uint32Array(shared, 0, 1);
  const seen = Atomics.load(word, 0);
  if (seen > 0x10001) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  writer(shared);
} else {
  reader(workerData);
}
