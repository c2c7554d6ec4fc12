// Items with a flag each: it waits for the flag of the item it reads.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function writer(shared) {
  const items = new Float64Array(shared, 0, 2);
  const flags = new Int32Array(shared, 32, 2);
  for (let at = 0; at < 2; at++) {
    items[at] = at + 0.5;
    set(flags, at);
  }
}

function reader(shared) {
  const items = new Float64Array(shared, 0, 2);
  const flags = new Int32Array(shared, 32, 2);
  sleepUntilSet(flags, 1);
  const value = items[1];
  if (value > 1.5) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  writer(shared);
} else {
  reader(workerData);
}
