// A promise of Atomics.waitAsync: the reader does not await it.
// expect: plain/plain

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(32);
  const gate = new Int32Array(shared, 0, 2);
  const worker = new Worker(new URL(import.meta.url), { workerData: shared });
  const result = Atomics.waitAsync(gate, 0, 0);
  set(gate, 1);

  if (new Int32Array(shared, 16, 1)[0] > 6) throw new Error('impossible');
  await result.value;
  worker.postMessage('end');
} else {
  const gate = new Int32Array(workerData, 0, 2);
  parentPort.once('message', () => {});
  sleepUntilSet(gate, 1);
  new Int32Array(workerData, 16, 1)[0] = 6;
  set(gate, 0);
}
