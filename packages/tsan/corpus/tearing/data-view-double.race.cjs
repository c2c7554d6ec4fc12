// A double behind a DataView: it is written while it is read.
// expect: may-tear plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function writer(shared) {
  const view = new DataView(shared, 16, 16);
  for (let round = 0; round < 20; round++) {
    view.setFloat64(8, round, true);
  }
}

function reader(shared) {
  const view = new DataView(shared, 16, 16);
  for (let round = 0; round < 20; round++) {
    if (view.getFloat64(8, true) > 20) throw new Error('torn');
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['writer', 'reader']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { writer, reader };
  roles[workerData.role](workerData.shared);
}
