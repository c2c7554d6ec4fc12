// Message passing through a flag: the flag is atomic.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function until(flags, at, value) {
  while (Atomics.load(flags, at) !== value);
}

function writer(shared) {
  const data = new Int32Array(shared, 0, 1);
  const flag = new Int32Array(shared, 4, 1);
  data[0] = 42;
  Atomics.store(flag, 0, 1);
}

function reader(shared) {
  const data = new Int32Array(shared, 0, 1);
  const flag = new Int32Array(shared, 4, 1);
  until(flag, 0, 1);
  if (data[0] !== 42) throw new Error('not seen');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['writer', 'reader']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { writer, reader };
  roles[workerData.role](workerData.shared);
}
