// A lock that is only tried: it is tried until it is had.
// expect: none

import { Worker } from 'node:worker_threads';

function spinLock(word) {
  while (Atomics.exchange(word, 0, 1) !== 0);
}

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function holder(shared) {
  const word = new Int32Array(shared, 0, 1);
  const turn = new Int32Array(shared, 4, 1);
  const data = new Int8Array(shared, 32, 4);
  spinLock(word);
  set(turn, 0);
  data[2] = 1;
  Atomics.store(word, 0, 0);
}

function impatient(shared) {
  const word = new Int32Array(shared, 0, 1);
  const turn = new Int32Array(shared, 4, 1);
  const data = new Int8Array(shared, 32, 4);
  sleepUntilSet(turn, 0);
  while (Atomics.compareExchange(word, 0, 0, 1) !== 0);
  data[2]--;
}

const shared = new SharedArrayBuffer(64);
for (const role of [holder, impatient]) {
  const source = `${spinLock}\n${sleepUntilSet}\n${set}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
