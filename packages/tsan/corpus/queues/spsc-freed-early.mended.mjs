// A queue with room for one: it reads before it gives the slot back.
// expect: none

import { Worker } from 'node:worker_threads';

function until(flags, at, value) {
  while (Atomics.load(flags, at) !== value);
}

function producer(shared) {
  const full = new Int32Array(shared, 0, 1);
  const slot = new Uint32Array(shared, 8, 2);
  for (let value = 1; value <= 5; value++) {
    until(full, 0, 0);
    slot.fill(value);
    Atomics.store(full, 0, 1);
  }
}

function consumer(shared) {
  const full = new Int32Array(shared, 0, 1);
  const slot = new Uint32Array(shared, 8, 2);
  for (let value = 1; value <= 5; value++) {
    until(full, 0, 1);
    const sum = slot[0] + slot[1];
    Atomics.store(full, 0, 0);
    if (sum > 10) throw new Error('impossible');
  }
}

const shared = new SharedArrayBuffer(64);
for (const role of [producer, consumer]) {
  const source = `${until}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
