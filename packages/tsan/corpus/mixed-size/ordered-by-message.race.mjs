// Atomic accesses of different sizes: nothing orders them.
// expect: mixed-size

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const shared = new SharedArrayBuffer(8);
  const worker = new Worker(new URL(import.meta.url), { workerData: shared });
  worker.postMessage('go');
  Atomics.store(new Int32Array(shared), 1, 0x7fff);
} else {
  parentPort.once('message', () => {
    const bytes = new Int8Array(workerData);
    if (Atomics.load(bytes, 5) > 0x7f) throw new Error('impossible');
  });
}
