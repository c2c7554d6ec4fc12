// A double that one thread writes and another reads: nothing orders them.
// expect: may-tear plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function writer(shared) {
  const value = new Float64Array(shared, 0, 1);
  value[0] = 1 / 3;
}

function reader(shared) {
  const value = new Float64Array(shared, 0, 1);

  if (value[0] > 1) throw new Error('torn');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  writer(shared);
} else {
  reader(workerData);
}
