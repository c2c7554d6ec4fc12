// A word that lies across two elements: a barrier stands between.
// expect: none

import { Worker } from 'node:worker_threads';

function barrier(state, threads) {
  const generation = Atomics.load(state, 1);
  if (Atomics.add(state, 0, 1) === threads - 1) {
    Atomics.store(state, 0, 0);
    Atomics.add(state, 1, 1);
    Atomics.notify(state, 1);
  } else {
    while (Atomics.load(state, 1) === generation) Atomics.wait(state, 1, generation);
  }
}

function writer(shared) {
  const view = new DataView(shared);
  const state = new Int32Array(shared, 32, 2);
  view.setInt32(6, -1);
  barrier(state, 2);
  if (view.byteLength !== 64) throw new Error('impossible');
}

function reader(shared) {
  const words = new Uint32Array(shared, 0, 4);
  const state = new Int32Array(shared, 32, 2);
  barrier(state, 2);
  if (words[2] === 1) throw new Error('torn');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `${barrier}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
