// A sequence lock: its sequence is an atomic word.
// expect: none

const { Worker } = require('node:worker_threads');

function writer(shared) {
  const sequence = new Int32Array(shared, 0, 1);
  const data = new Uint8Array(shared, 16, 2);
  for (let round = 1; round <= 10; round++) {
    Atomics.add(sequence, 0, 1);
    Atomics.store(data, 0, round);
    Atomics.store(data, 1, round);
    Atomics.add(sequence, 0, 1);
  }
}

function reader(shared) {
  const sequence = new Int32Array(shared, 0, 1);
  const data = new Uint8Array(shared, 16, 2);
  for (let tries = 0, reads = 0; tries < 1000 && reads < 5; tries++) {
    const before = Atomics.load(sequence, 0);
    const both = [Atomics.load(data, 0), Atomics.load(data, 1)];
    if (before === Atomics.load(sequence, 0) && both.length === 2) reads++;
  }
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
