// A double that one thread writes and another reads: a flag orders them.
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
  const value = new Float64Array(shared, 0, 1);
  const flag = new Int32Array(shared, 8, 1);
  value[0] = 1 / 3;
  set(flag, 0);
}

function reader(shared) {
  const value = new Float64Array(shared, 0, 1);
  const flag = new Int32Array(shared, 8, 1);
  sleepUntilSet(flag, 0);
  if (value[0] > 1) throw new Error('torn');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  writer(shared);
} else {
  reader(workerData);
}
