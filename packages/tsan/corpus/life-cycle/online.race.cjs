// The event that a worker is online: the parent takes it for the worker's end.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const cells = new Int32Array(new SharedArrayBuffer(16));
  const worker = new Worker(__filename, { workerData: [cells] });
  worker.on('online', () => {
    if (cells.at(-1) > 11) throw new Error('impossible');
  });
} else {
  workerData[0][3] = 11;
}
