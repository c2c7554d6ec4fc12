// Independent reads of independent writes: the writers are plain.
// expect: plain/atomic

import { Worker } from 'node:worker_threads';

function writeX(shared) {
  const x = new Uint16Array(shared, 0, 1);
  x[0] = 1;
}

function writeY(shared) {
  const y = new Uint16Array(shared, 2, 1);
  y[0] = 1;
}

function readXY(shared) {
  const x = new Uint16Array(shared, 0, 1);
  const y = new Uint16Array(shared, 2, 1);
  if (Atomics.load(x, 0) + Atomics.load(y, 0) > 2) throw new Error('impossible');
}

function readYX(shared) {
  const x = new Uint16Array(shared, 0, 1);
  const y = new Uint16Array(shared, 2, 1);
  if (Atomics.load(y, 0) + Atomics.load(x, 0) > 2) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writeX, writeY, readXY, readYX]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
