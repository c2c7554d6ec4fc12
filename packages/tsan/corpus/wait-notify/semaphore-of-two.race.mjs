// A semaphore that guards a word: it lets two threads in.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function down(semaphore) {
  for (;;) {
    const seen = Atomics.load(semaphore, 0);
    if (seen > 0 && Atomics.compareExchange(semaphore, 0, seen, seen - 1) === seen) return;
    if (seen === 0) Atomics.wait(semaphore, 0, 0);
  }
}

function up(semaphore) {
  Atomics.add(semaphore, 0, 1);
  Atomics.notify(semaphore, 0, 1);
}

function one(shared) {
  const semaphore = new Int32Array(shared, 0, 1);
  const met = new Int32Array(shared, 8, 1);
  const word = new Uint32Array(shared, 60, 1);
  for (let round = 1; round <= 100; round++) {
    meet(met, 0, round * 2);
    down(semaphore);
    word[0] += 1;
    up(semaphore);
  }
}

function two(shared) {
  const semaphore = new Int32Array(shared, 0, 1);
  const met = new Int32Array(shared, 8, 1);
  const word = new Uint32Array(shared, 60, 1);
  for (let round = 1; round <= 100; round++) {
    meet(met, 0, round * 2);
    down(semaphore);
    word[0] += 2;
    up(semaphore);
  }
}

const shared = new SharedArrayBuffer(64);
new Int32Array(shared)[0] = 2;
for (const role of [one, two]) {
  const source = `import { workerData } from 'node:worker_threads';\n${meet}\n${down}\n${up}\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
