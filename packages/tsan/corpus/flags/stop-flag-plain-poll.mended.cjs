// A worker that polls a flag of its parent: both sides are atomic.
// expect: none

const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const flags = new Uint8Array(new SharedArrayBuffer(8), 4, 2);
  const worker = new Worker(__filename, { workerData: { flags } });
  worker.once('message', () => {
    Atomics.store(flags, 1, 1);
  });
} else {
  const { flags } = workerData;
  parentPort.postMessage(null);
  while (Atomics.load(flags, 1) === 0);
}
