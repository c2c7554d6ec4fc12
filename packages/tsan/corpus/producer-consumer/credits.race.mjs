// Credits that a consumer grants: it grants them by plain additions.
// expect: plain/atomic plain/plain

import { Worker } from 'node:worker_threads';

function producer(shared) {
  const credits = new Int32Array(shared, 0, 1);
  const sent = new Int32Array(shared, 4, 1);
  const items = new Uint32Array(shared, 16, 4);
  for (let number = 0; number < 8; number++) {
    while (Atomics.load(credits, 0) <= number);
    items[number % 4] = number;
    Atomics.store(sent, 0, number + 1);
  }
}

function consumer(shared) {
  const credits = new Int32Array(shared, 0, 1);
  const sent = new Int32Array(shared, 4, 1);
  const items = new Uint32Array(shared, 16, 4);
  credits[0] = 4;
  for (let number = 0; number < 8; number++) {
    while (Atomics.load(sent, 0) <= number);
    if (items[number % 4] > 7) throw new Error('impossible');
    credits[0]++;
  }
}

const shared = new SharedArrayBuffer(64);
for (const role of [producer, consumer]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
