// A view that is sorted: the whole is sorted while another thread writes the last element.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function sorter(shared) {
  const words = new Uint32Array(shared, 0, 32);
  words.sort();
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
