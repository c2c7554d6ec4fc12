// Message passing through a flag: the flag is plain.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function writer(shared) {
  const data = new Int32Array(shared, 0, 1);
  const flag = new Int32Array(shared, 4, 1);
  data[0] = 42;
  flag[0] = 1;
}

function reader(shared) {
  const data = new Int32Array(shared, 0, 1);
  const flag = new Int32Array(shared, 4, 1);
  for (let tries = 0; tries < 1000 && flag[0] === 0; tries++);
  if (flag[0] === 1 && data[0] > 42) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['writer', 'reader']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { writer, reader };
  roles[workerData.role](workerData.shared);
}
