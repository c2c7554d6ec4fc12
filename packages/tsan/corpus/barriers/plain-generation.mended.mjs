// A barrier of two threads: its generation is raised atomically.
// expect: none

import { Worker } from 'node:worker_threads';

function arrive(state) {
  const generation = Atomics.load(state, 1);
  if (Atomics.add(state, 0, 1) % 2 === 1) Atomics.add(state, 1, 1);
  else while (Atomics.load(state, 1) === generation);
}

function left(shared) {
  const state = new Uint32Array(shared, 0, 2);
  const cells = new Float32Array(shared, 32, 2);
  for (let round = 0; round < 10; round++) {
    cells[0] = round;
    arrive(state);
    if (cells[1] > 10) throw new Error('impossible');
    arrive(state);
  }
}

function right(shared) {
  const state = new Uint32Array(shared, 0, 2);
  const cells = new Float32Array(shared, 32, 2);
  for (let round = 0; round < 10; round++) {
    cells[1] = round;
    arrive(state);
    if (cells[0] > 10) throw new Error('impossible');
    arrive(state);
  }
}

const shared = new SharedArrayBuffer(64);
for (const role of [left, right]) {
  const source = `${arrive}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
