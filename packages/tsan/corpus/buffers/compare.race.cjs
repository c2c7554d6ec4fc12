// Two Buffers that are compared: one of them is being written.
// expect: plain/plain may-tear

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function comparer(shared) {
  const left = Buffer.from(shared, 0, 16);
  const right = Buffer.from(shared, 16, 16);
  if (left.compare(right) > 1) throw new Error('impossible');
}

function writer(shared) {
  const right = Buffer.from(shared, 16, 16);
  right.fill('x');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['comparer', 'writer']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { comparer, writer };
  roles[workerData.role](workerData.shared);
}
