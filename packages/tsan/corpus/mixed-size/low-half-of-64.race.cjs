// A timestamp of 64 bits: its low half is loaded as a word of 32.
// expect: mixed-size

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function clock(shared) {
  const stamp = new BigUint64Array(shared, 16, 1);
  for (let time = 1n; time < 30n; time++) Atomics.store(stamp, 0, time);
}

function reader(shared) {
  const low = new Int32Array(shared, 16, 2);
  let last = 0;
  for (let round = 0; round < 10; round++) {
    const now = Atomics.load(low, 0);
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
