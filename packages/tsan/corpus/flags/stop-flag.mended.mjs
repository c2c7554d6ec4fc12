// A worker that is told to stop through shared memory: the flag is written by an atomic store.
// expect: none

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), { workerData: stop });
  worker.on('message', () => {
    Atomics.store(stop, 0, 1);
  });
} else {
  parentPort.postMessage('running');
  let turns = 0;
  while (Atomics.load(workerData, 0) === 0) turns++;
  if (turns < 0) throw new Error('impossible');
}
