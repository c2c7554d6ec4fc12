// A sequence lock over values of 64 bits: they are read by plain accesses.
// expect: plain/plain plain/atomic may-tear

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function writer(shared) {
  const sequence = new BigInt64Array(shared, 0, 1);
  const data = new BigInt64Array(shared, 16, 2);
  const met = new Int32Array(shared, 40, 1);
  meet(met, 0, 2);
  for (let round = 1n; round <= 80n; round++) {
    Atomics.add(sequence, 0, 1n);
    Atomics.store(data, 0, round);
    Atomics.store(data, 1, round);
    Atomics.add(sequence, 0, 1n);
  }
}

function reader(shared) {
  const sequence = new BigInt64Array(shared, 0, 1);
  const data = new BigInt64Array(shared, 16, 2);
  const met = new Int32Array(shared, 40, 1);
  meet(met, 0, 2);
  for (let reads = 0; reads < 5; ) {
    const before = Atomics.load(sequence, 0);
    const same = data[0] === data[1];
    if (before % 2n === 1n || Atomics.load(sequence, 0) !== before) continue;
    if (!same) throw new Error('torn');
    reads++;
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  writer(shared);
} else {
  reader(workerData);
}
