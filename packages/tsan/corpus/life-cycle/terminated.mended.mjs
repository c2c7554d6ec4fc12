// A worker that is terminated: the parent awaits its end.
// expect: none

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const counter = new Uint32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL(import.meta.url), { workerData: counter });
  await once(worker, 'message');
  // It counts on meanwhile.
  await sleep(100);
  await worker.terminate();
  if (counter[1] < 1) throw new Error('impossible');
} else {
  workerData[1] = 1;
  parentPort.postMessage('counting');
  for (;;) workerData[1] = (workerData[1] % 1000) + 1;
}
