// A timestamp of 64 bits: it is loaded whole.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function clock(shared) {
  const stamp = new BigUint64Array(shared, 16, 1);
  for (let time = 1n; time < 30n; time++) Atomics.store(stamp, 0, time);
}

function reader(shared) {
  const stamp = new BigUint64Array(shared, 16, 1);
  let last = 0;
  for (let round = 0; round < 10; round++) {
    const now = Number(Atomics.load(stamp, 0));
    if (now < last) throw new Error('impossible');
    last = now;
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['clock', 'reader']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { clock, reader };
  roles[workerData.role](workerData.shared);
}
