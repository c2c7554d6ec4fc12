// A double behind a DataView: a mutex keeps the two apart.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function lock(mutex, at = 0) {
  while (Atomics.compareExchange(mutex, at, 0, 1) !== 0) Atomics.wait(mutex, at, 1);
}

function unlock(mutex, at = 0) {
  Atomics.store(mutex, at, 0);
  Atomics.notify(mutex, at, 1);
}

function writer(shared) {
  const view = new DataView(shared, 16, 16);
  const mutex = new Int32Array(shared, 0, 1);
  for (let round = 0; round < 20; round++) {
    lock(mutex);
    view.setFloat64(8, round, true);
    unlock(mutex);
  }
}

function reader(shared) {
  const view = new DataView(shared, 16, 16);
  const mutex = new Int32Array(shared, 0, 1);
  for (let round = 0; round < 20; round++) {
    lock(mutex);
    if (view.getFloat64(8, true) > 20) throw new Error('torn');
    unlock(mutex);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['writer', 'reader']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { writer, reader };
  roles[workerData.role](workerData.shared);
}
