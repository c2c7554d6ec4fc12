// A view that is reversed: a thread writes an element of the view behind it.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function reverser(shared) {
  const front = new Int16Array(shared, 0, 5);
  front.reverse();
}

function writer(shared) {
  const all = new Int16Array(shared, 0, 10);
  all[5] = 9;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: shared });
  reverser(shared);
} else {
  writer(workerData);
}
