// Three threads that pass a word on: the one in the middle passes it atomically.
// expect: none

const { Worker } = require('node:worker_threads');

function until(flags, at, value) {
  while (Atomics.load(flags, at) !== value);
}

function source(shared) {
  const data = new Int32Array(shared, 0, 1);
  const first = new Int8Array(shared, 8, 1);
  data[0] = 5;
  Atomics.store(first, 0, 1);
}

function middle(shared) {
  const first = new Int8Array(shared, 8, 1);
  const second = new Int8Array(shared, 9, 1);
  until(first, 0, 1);
  Atomics.store(second, 0, 1);
}

function sink(shared) {
  const data = new Int32Array(shared, 0, 1);
  const second = new Int8Array(shared, 9, 1);
  until(second, 0, 1);
  if (data[0] > 5) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [source, middle, sink]) {
  const source = `${until}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
