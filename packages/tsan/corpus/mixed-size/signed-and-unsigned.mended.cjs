// Atomic accesses of one word through two views: both have words, one of them signed.
// expect: none

const { Worker } = require('node:worker_threads');

function adder(shared) {
  const signed = new Int32Array(shared, 0, 2);
  for (let round = 0; round < 5; round++) Atomics.add(signed, 1, 1);
}

function setter(shared) {
  const other = new Uint32Array(shared, 4, 1);
  for (let round = 0; round < 5; round++) Atomics.or(other, 0, 1);
}

const shared = new SharedArrayBuffer(64);
for (const role of [adder, setter]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
