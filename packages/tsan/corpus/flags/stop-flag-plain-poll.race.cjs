// A worker that polls a flag of its parent: both sides are plain.
// expect: plain/plain

const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const flags = new Uint8Array(new SharedArrayBuffer(8), 4, 2);
  const worker = new Worker(__filename, { workerData: { flags } });
  worker.once('message', () => {
    flags[1] = 1;
  });
} else {
  const { flags } = workerData;
  parentPort.postMessage(null);
  for (let tries = 0; tries < 100_000; tries++) {
    if (flags[1] === 1) break;
  }
}
