// Two threads that write two words in opposite order: both words are atomic.
// expect: none

const { Worker } = require('node:worker_threads');

function left(shared) {
  const x = new Int32Array(shared, 0, 1);
  const y = new Int16Array(shared, 6, 1);
  Atomics.store(x, 0, 1);
  Atomics.store(y, 0, 2);
}

function right(shared) {
  const x = new Int32Array(shared, 0, 1);
  const y = new Int16Array(shared, 6, 1);
  Atomics.store(y, 0, 1);
  Atomics.store(x, 0, 2);
}

const shared = new SharedArrayBuffer(64);
for (const role of [left, right]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
