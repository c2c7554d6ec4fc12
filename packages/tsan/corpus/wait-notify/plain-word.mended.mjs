// Words that threads sleep on: they are changed by atomic stores.
// expect: none

import { Worker } from 'node:worker_threads';

function until(flags, at, value) {
  while (Atomics.load(flags, at) !== value);
}

function sleeper(shared) {
  const gates = new Int32Array(shared, 0, 50);
  const ready = new Int32Array(shared, 256, 1);
  for (let round = 0; round < 50; round++) {
    Atomics.store(ready, 0, round + 1);
    while (Atomics.load(gates, round) === 0) Atomics.wait(gates, round, 0, 1000);
  }
}

function waker(shared) {
  const gates = new Int32Array(shared, 0, 50);
  const ready = new Int32Array(shared, 256, 1);
  for (let round = 0; round < 50; round++) {
    until(ready, 0, round + 1);
    Atomics.store(gates, round, 1);
    Atomics.notify(gates, round);
  }
}

const shared = new SharedArrayBuffer(512);
for (const role of [sleeper, waker]) {
  const source = `${until}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
