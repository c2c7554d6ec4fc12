// Double-checked initialisation: the first check is plain.
// expect: plain/plain plain/atomic

const { Worker } = require('node:worker_threads');

function lock(mutex, at = 0) {
  while (Atomics.compareExchange(mutex, at, 0, 1) !== 0) Atomics.wait(mutex, at, 1);
}

function unlock(mutex, at = 0) {
  Atomics.store(mutex, at, 0);
  Atomics.notify(mutex, at, 1);
}

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function get(mutex, ready, value) {
  if (ready[0] === 0) {
    lock(mutex);
    if (ready[0] === 0) {
      value[0] = 123;
      ready[0] = 1;
    }
    unlock(mutex);
  }
  return value[0];
}

function one(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  const ready = new Int32Array(shared, 4, 1);
  const value = new Int32Array(shared, 32, 1);
  const met = new Int32Array(shared, 40, 1);
  meet(met, 0, 2);
  if (get(mutex, ready, value) > 123) throw new Error('impossible');
}

function two(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  const ready = new Int32Array(shared, 4, 1);
  const value = new Int32Array(shared, 32, 1);
  const met = new Int32Array(shared, 40, 1);
  meet(met, 0, 2);
  if (get(mutex, ready, value) > 123) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [one, two]) {
  const source = `${lock}\n${unlock}\n${meet}\n${get}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
