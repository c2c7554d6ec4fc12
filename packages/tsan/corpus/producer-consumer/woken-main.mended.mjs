// The main thread that is woken asynchronously for each item: the item is written before.
// expect: none

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  const turn = new Int32Array(shared, 0, 2);
  const item = new Int32Array(shared, 32, 1);
  const worker = new Worker(new URL(import.meta.url), { workerData: shared });
  for (let number = 0; number < 3; number++) {
    // A notification may be a late one, of the turn before.
    while (Atomics.load(turn, 0) === number) await Atomics.waitAsync(turn, 0, number).value;
    if (item[0] > 3) throw new Error('impossible');
    set(turn, 1, number + 1);
  }
  worker.postMessage('end');
} else {
  const turn = new Int32Array(workerData, 0, 2);
  const item = new Int32Array(workerData, 32, 1);
  parentPort.once('message', () => {});
  for (let number = 0; number < 3; number++) {
    item[0] = number + 1;
    set(turn, 0, number + 1);
    while (Atomics.load(turn, 1) === number) Atomics.wait(turn, 1, number);
  }
}
