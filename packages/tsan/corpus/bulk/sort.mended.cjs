// A view that is sorted: what lies before that element is sorted.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function sorter(shared) {
  const words = new Uint32Array(shared, 0, 32);
  words.subarray(0, 31).sort();
}

function writer(shared) {
  const words = new Uint32Array(shared, 0, 32);
  words[31] = 1;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(128);
  for (const role of ['sorter', 'writer']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { sorter, writer };
  roles[workerData.role](workerData.shared);
}
