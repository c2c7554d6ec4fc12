// A message header behind a DataView: the flag is awaited.
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
  const header = new DataView(shared, 8, 12);
  const flag = new Int32Array(shared, 0, 1);
  header.setUint32(0, 0xfeed);
  header.setUint16(4, 12);
  set(flag, 0);
}

function reader(shared) {
  const header = new DataView(shared, 8, 12);
  const flag = new Int32Array(shared, 0, 1);
  sleepUntilSet(flag, 0);
  if (header.getUint16(4) > 12) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `${sleepUntilSet}\n${set}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
