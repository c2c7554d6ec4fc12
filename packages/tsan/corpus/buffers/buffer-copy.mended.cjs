// Bytes that are copied between Buffers: the copy ends before that.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function copier(shared) {
  const source = Buffer.from(shared, 0, 64);
  const target = Buffer.from(shared, 128, 64);
  source.copy(target, 8, 0, 16);
}

function reader(shared) {
  const target = Buffer.from(shared, 128, 64);
  if (target.readInt8(24) > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  new Worker(__filename, { workerData: shared });
  copier(shared);
} else {
  reader(workerData);
}
