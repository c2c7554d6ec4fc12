// A thread that sleeps until it is notified: it is written before.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function writer(shared) {
  const gate = new Int32Array(shared, 0, 1);
  const data = new Int32Array(shared, 16, 1);
  data[0] = 8;
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
}

function sleeper(shared) {
  const gate = new Int32Array(shared, 0, 1);
  const data = new Int32Array(shared, 16, 1);
  Atomics.wait(gate, 0, 0);
  if (data[0] > 8) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  writer(shared);
} else {
  sleeper(workerData);
}
