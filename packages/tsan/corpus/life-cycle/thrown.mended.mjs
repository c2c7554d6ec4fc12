// A worker that ends by an error: the parent reads when it has ended.
// expect: none

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const cell = new Float32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), { workerData: cell });
  worker.on('error', () => {});
  worker.on('message', () => {});
  await new Promise((resolve) => worker.on('exit', resolve));
  if (cell[0] > 2.5) throw new Error('impossible');
} else {
  parentPort.postMessage('started');
  workerData[0] = 2.5;
  throw new Error('meant');
}
