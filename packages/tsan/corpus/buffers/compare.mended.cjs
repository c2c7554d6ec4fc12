// Two Buffers that are compared: another one is being written.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function comparer(shared) {
  const left = Buffer.from(shared, 0, 16);
  const right = Buffer.from(shared, 16, 16);
  if (left.compare(right) > 1) throw new Error('impossible');
}

function writer(shared) {
  const other = Buffer.from(shared, 32, 16);
  other.fill('x');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['comparer', 'writer']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { comparer, writer };
  roles[workerData.role](workerData.shared);
}
