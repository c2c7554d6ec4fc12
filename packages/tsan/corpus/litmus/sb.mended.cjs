// Store buffering: they are atomic.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function left(shared) {
  const x = new Int32Array(shared, 0, 1);
  const y = new Int32Array(shared, 32, 1);
  Atomics.store(x, 0, 1);
  if (Atomics.load(y, 0) > 1) throw new Error('impossible');
}

function right(shared) {
  const x = new Int32Array(shared, 0, 1);
  const y = new Int32Array(shared, 32, 1);
  Atomics.store(y, 0, 1);
  if (Atomics.load(x, 0) > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['left', 'right']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { left, right };
  roles[workerData.role](workerData.shared);
}
