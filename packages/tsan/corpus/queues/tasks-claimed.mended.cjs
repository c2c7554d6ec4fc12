// Tasks that workers take by number: the next number is atomic.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function a(shared) {
  const next = new Uint16Array(shared, 0, 1);
  const results = new Float64Array(shared, 8, 12);
  for (let task = Atomics.add(next, 0, 1); task < 12; task = Atomics.add(next, 0, 1)) {
    results[task] = Math.sqrt(task);
  }
}

function b(shared) {
  const next = new Uint16Array(shared, 0, 1);
  const results = new Float64Array(shared, 8, 12);
  for (let task = Atomics.add(next, 0, 1); task < 12; task = Atomics.add(next, 0, 1)) {
    results[task] = Math.sqrt(task);
  }
}

function c(shared) {
  const next = new Uint16Array(shared, 0, 1);
  const results = new Float64Array(shared, 8, 12);
  for (let task = Atomics.add(next, 0, 1); task < 12; task = Atomics.add(next, 0, 1)) {
    results[task] = Math.sqrt(task);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(128);
  for (const role of ['b', 'c']) new Worker(__filename, { workerData: { shared, role } });
  a(shared);
} else {
  const roles = { b, c };
  roles[workerData.role](workerData.shared);
}
