// A lock for many readers or one writer: the writer takes it as a reader does.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function lockShared(state) {
  for (;;) {
    const seen = Atomics.load(state, 0);
    if (seen >= 0 && Atomics.compareExchange(state, 0, seen, seen + 1) === seen) return;
  }
}

function unlockShared(state) {
  Atomics.sub(state, 0, 1);
}

function writer(shared) {
  const state = new Int32Array(shared, 0, 1);
  const met = new Int32Array(shared, 4, 1);
  const data = new Int32Array(shared, 32, 2);
  for (let round = 1; round <= 200; round++) {
    meet(met, 0, round * 2);
    lockShared(state);
    data[0] = round;
    data[1] = -round;
    unlockShared(state);
  }
}

function reader(shared) {
  const state = new Int32Array(shared, 0, 1);
  const met = new Int32Array(shared, 4, 1);
  const data = new Int32Array(shared, 32, 2);
  for (let round = 1; round <= 200; round++) {
    meet(met, 0, round * 2);
    lockShared(state);
    if (data[0] + data[1] > 200) throw new Error('impossible');
    unlockShared(state);
  }
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `import { workerData } from 'node:worker_threads';\n${meet}\n${lockShared}\n${unlockShared}\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
