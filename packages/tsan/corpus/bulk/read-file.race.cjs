// A file that is read into a shared buffer: a worker looks at the bytes meanwhile.
// expect: plain/plain may-tear

const { closeSync, openSync, readSync } = require('node:fs');
const { isMainThread, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const bytes = new Uint8Array(new SharedArrayBuffer(64));
  new Worker(__filename, { workerData: { bytes } });
  const file = openSync(__filename);
  readSync(file, bytes, 0, 32, 0);
  closeSync(file);
} else {
  if (workerData.bytes[31] > 255) throw new Error('impossible');
}
