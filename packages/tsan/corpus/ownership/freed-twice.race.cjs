// A block of a pool: two threads free it.
// expect: ownership

const { region } = require('@tspdk/tsan');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const shared = new SharedArrayBuffer(128);
  const pool = region('pool', 'cells');
  pool.alloc(shared, 32, 16);
  const worker = new Worker(__filename, { workerData: shared });
  worker.once('message', () => {
    pool.free(shared, 32);
  });
} else {
  const cells = region('pool', 'cells');
  new Uint8Array(workerData, 32, 16).fill(2);
  cells.free(workerData, 32);
  parentPort.postMessage('freed');
}
