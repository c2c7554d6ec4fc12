// What a worker leaves behind: the parent reads it when the worker has ended.
// expect: none

import { once } from 'node:events';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const result = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), { workerData: result });
  await once(worker, 'exit');
  if (result[0] !== 1) throw new Error('not seen');
  if (worker.threadId === 0) throw new Error('impossible');
} else {
  workerData[0] = 1;
}
