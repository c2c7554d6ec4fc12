// A sequence lock, as one writes it in C: its data are read by plain accesses.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function writer(shared) {
  const sequence = new Int32Array(shared, 0, 1);
  const data = new Int32Array(shared, 8, 2);
  const met = new Int32Array(shared, 32, 1);
  meet(met, 0, 2);
  for (let round = 1; round <= 100; round++) {
    Atomics.add(sequence, 0, 1);
    data[0] = round;
    data[1] = -round;
    Atomics.add(sequence, 0, 1);
  }
}

function reader(shared) {
  const sequence = new Int32Array(shared, 0, 1);
  const data = new Int32Array(shared, 8, 2);
  const met = new Int32Array(shared, 32, 1);
  meet(met, 0, 2);
  for (let reads = 0; reads < 10; ) {
    const before = Atomics.load(sequence, 0);
    if (before % 2 === 1) continue;
    const sum = data[0] + data[1];
    if (Atomics.load(sequence, 0) !== before) continue;
    if (sum !== 0) throw new Error('torn');
    reads++;
  }
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `${meet}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
