// A notification that stands for itself, without a word that changes: the data is written before it.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function sleeper(shared) {
  const gate = new Int32Array(shared, 0, 1);
  const data = new Int16Array(shared, 48, 2);
  Atomics.wait(gate, 0, 0);
  if (data[1] > 4) throw new Error('impossible');
}

function waker(shared) {
  const gate = new Int32Array(shared, 0, 1);
  const data = new Int16Array(shared, 48, 2);
  data[1] = 4;
  while (Atomics.notify(gate, 0, 1) === 0);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['sleeper', 'waker']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { sleeper, waker };
  roles[workerData.role](workerData.shared);
}
