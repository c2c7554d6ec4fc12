// Message passing through an atomic flag: it looks after that.
// expect: none

import { Worker } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function reader(shared) {
  const data = new Uint16Array(shared, 2, 1);
  const flag = new Int32Array(shared, 60, 1);
  sleepUntilSet(flag, 0);
  let value = data[0];
  value += 1;
  if (value > 8) throw new Error('impossible');
}

function writer(shared) {
  const data = new Uint16Array(shared, 2, 1);
  const flag = new Int32Array(shared, 60, 1);
  data[0] = 7;
  set(flag, 0);
}

const shared = new SharedArrayBuffer(64);
for (const role of [reader, writer]) {
  const source = `import { workerData } from 'node:worker_threads';\n${sleepUntilSet}\n${set}\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
