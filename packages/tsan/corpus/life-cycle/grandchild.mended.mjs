// A worker's worker: its parent answers when it has ended.
// expect: none

import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const shared = new SharedArrayBuffer(32);
  const child = new Worker(new URL(import.meta.url), { workerData: { shared, depth: 1 } });
  await once(child, 'message');
  if (new Uint8Array(shared)[9] > 2) throw new Error('impossible');
} else if (workerData.depth === 1) {
  const grandchild = new Worker(new URL(import.meta.url), { workerData: { ...workerData, depth: 2 } });
  await once(grandchild, 'exit');
  parentPort.postMessage('done');
} else {
  new Uint8Array(workerData.shared)[9] = workerData.depth;
}
