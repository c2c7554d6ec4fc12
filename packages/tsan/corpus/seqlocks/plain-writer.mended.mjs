// A sequence lock with atomic readers: its writer writes the data atomically.
// expect: none

import { Worker } from 'node:worker_threads';

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function writer(shared) {
  const sequence = new Uint32Array(shared, 0, 1);
  const data = new Int16Array(shared, 32, 2);
  const met = new Int32Array(shared, 48, 1);
  meet(met, 0, 2);
  for (let round = 1; round <= 100; round++) {
    Atomics.store(sequence, 0, round * 2 - 1);
    Atomics.store(data, 0, round);
    Atomics.store(data, 1, round);
    Atomics.store(sequence, 0, round * 2);
  }
}

function reader(shared) {
  const sequence = new Uint32Array(shared, 0, 1);
  const data = new Int16Array(shared, 32, 2);
  const met = new Int32Array(shared, 48, 1);
  meet(met, 0, 2);
  for (let reads = 0; reads < 5; ) {
    const before = Atomics.load(sequence, 0);
    const [left, right] = [Atomics.load(data, 0), Atomics.load(data, 1)];
    if (before % 2 === 1 || Atomics.load(sequence, 0) !== before) continue;
    if (left !== right) throw new Error('torn');
    reads++;
  }
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `import { workerData } from 'node:worker_threads';\n${meet}\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
