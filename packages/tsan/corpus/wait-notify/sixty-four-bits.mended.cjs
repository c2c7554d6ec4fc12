// A wait on a word of 64 bits: the data is written before.
// expect: none

const { Worker } = require('node:worker_threads');

function sleeper(shared) {
  const gate = new BigInt64Array(shared, 8, 1);
  const data = new Uint8Array(shared, 0, 8);
  while (Atomics.load(gate, 0) === 0n) Atomics.wait(gate, 0, 0n);
  if (data.includes(77)) throw new Error('impossible');
}

function waker(shared) {
  const gate = new BigInt64Array(shared, 8, 1);
  const data = new Uint8Array(shared, 0, 8);
  data.set([1, 2, 3], 4);
  Atomics.store(gate, 0, -5n);
  Atomics.notify(gate, 0);
}

const shared = new SharedArrayBuffer(64);
for (const role of [sleeper, waker]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
