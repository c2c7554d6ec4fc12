// A slot that is written under a mutex: it is written before the mutex is released.
// expect: none

const { Worker } = require('node:worker_threads');

function lock(mutex, at = 0) {
  while (Atomics.compareExchange(mutex, at, 0, 1) !== 0) Atomics.wait(mutex, at, 1);
}

function unlock(mutex, at = 0) {
  Atomics.store(mutex, at, 0);
  Atomics.notify(mutex, at, 1);
}

function first(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  const slot = new Float32Array(shared, 16, 1);
  lock(mutex);
  slot[0] = 1.5;
  unlock(mutex);
}

function second(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  const slot = new Float32Array(shared, 16, 1);
  lock(mutex);
  slot[0] = 2.5;
  unlock(mutex);
}

function third(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  lock(mutex);
  unlock(mutex);
}

const shared = new SharedArrayBuffer(64);
for (const role of [first, second, third]) {
  const source = `${lock}\n${unlock}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
