// Steps of a computation with two phases: no barrier between reading and the next step's writing.
// expect: plain/plain

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

function left(shared) {
  const state = new Int32Array(shared, 0, 2);
  const cells = new Int32Array(shared, 16, 2);
  for (let step = 0; step < 8; step++) {
    cells[0] = step;
    barrier(state, 2);
    if (cells[1] > 8) throw new Error('impossible');
  }
}

function right(shared) {
  const state = new Int32Array(shared, 0, 2);
  const cells = new Int32Array(shared, 16, 2);
  for (let step = 0; step < 8; step++) {
    cells[1] = step;
    barrier(state, 2);
    if (cells[0] > 8) throw new Error('impossible');
  }
}

const shared = new SharedArrayBuffer(64);
for (const role of [left, right]) {
  const source = `import { workerData } from 'node:worker_threads';\n${barrier}\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
