// A worker that ends by an error: the parent reads before it has ended.
// expect: plain/plain may-tear

import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const cell = new Float32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), { workerData: cell });
  worker.on('error', () => {});
  await once(worker, 'message');
  if (cell[0] > 2.5) throw new Error('impossible');
} else {
  parentPort.postMessage('started');
  workerData[0] = 2.5;
  throw new Error('meant');
}
