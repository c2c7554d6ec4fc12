// A worker that writes when it exits: the parent reads after its exit.
// expect: none

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const cells = new Uint16Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), { workerData: cells });
  worker.on('exit', () => {
    if (cells[1] > 5) throw new Error('impossible');
  });
} else {
  process.on('exit', () => {
    workerData[1] = 5;
  });
  parentPort.postMessage('bye');
  process.exit();
}
