// Message passing through an atomic flag: the flag is raised after the last word.
// expect: none

import { Worker } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function writer(shared) {
  const data = new Int16Array(shared, 16, 4);
  const flag = new Int32Array(shared, 0, 1);
  data[0] = 1;
  data[1] = 2;
  data[3] = 3;
  set(flag, 0);
}

function reader(shared) {
  const data = new Int16Array(shared, 16, 4);
  const flag = new Int32Array(shared, 0, 1);
  sleepUntilSet(flag, 0);
  let sum = 0;
  for (const each of data) sum += each;
  if (sum > 6) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `${sleepUntilSet}\n${set}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
