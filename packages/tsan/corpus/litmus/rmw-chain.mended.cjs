// A word that is handed on by read-modify-writes of three threads: it hands it on and leaves it.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function first(shared) {
  const baton = new Int32Array(shared, 0, 1);
  const data = new Int32Array(shared, 32, 1);
  data[0] = 1;
  Atomics.add(baton, 0, 1);
}

function middle(shared) {
  const baton = new Int32Array(shared, 0, 1);
  while (Atomics.load(baton, 0) !== 1);
  Atomics.add(baton, 0, 1);
}

function last(shared) {
  const baton = new Int32Array(shared, 0, 1);
  const data = new Int32Array(shared, 32, 1);
  while (Atomics.load(baton, 0) !== 2);
  if (data[0] > 2) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['first', 'middle', 'last']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { first, middle, last };
  roles[workerData.role](workerData.shared);
}
