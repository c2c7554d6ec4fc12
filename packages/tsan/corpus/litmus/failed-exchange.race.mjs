// A compareExchange that fails: it is taken for a release.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

function writer(shared) {
  const word = new Int32Array(shared, 0, 1);
  const data = new Uint8Array(shared, 63, 1);
  data[0] = 1;
  Atomics.compareExchange(word, 0, 0, 8);
}

function reader(shared) {
  const word = new Int32Array(shared, 0, 1);
  const seen = new Int32Array(shared, 4, 1);
  const data = new Uint8Array(shared, 63, 1);
  for (let tries = 0; tries < 1000; tries++) {
    if (Atomics.load(word, 0) === 7) break;
  }
  if (Atomics.load(word, 0) === 7 && data[0] > 1) Atomics.add(seen, 0, 1);
}

const shared = new SharedArrayBuffer(64);
new Int32Array(shared)[0] = 7;
for (const role of [writer, reader]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
