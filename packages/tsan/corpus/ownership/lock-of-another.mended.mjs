// An annotated lock: the holder unlocks it.
// expect: none

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { lock } from '@tspdk/tsan';

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  const word = new Int32Array(shared, 0, 1);
  lock.created(word, 0, 'door');
  const worker = new Worker(new URL(import.meta.url), { workerData: word });
  worker.once('message', () => {
    while (Atomics.compareExchange(word, 0, 0, 1) !== 0);
    lock.acquired(word);
    lock.releasing(word);
    Atomics.store(word, 0, 0);
  });
} else {
  lock.acquiring(workerData);
  while (Atomics.compareExchange(workerData, 0, 0, 1) !== 0);
  lock.acquired(workerData);
  lock.releasing(workerData);
  Atomics.store(workerData, 0, 0);
  parentPort.postMessage('went through');
}
