// Two threads that make the same object and publish one: the loser uses the published one as it is.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function publish(root, heap, mine) {
  heap[mine] = 1;
  const found = Atomics.compareExchange(root, 0, 0, mine);
  const object = found === 0 ? mine : found;
  if (heap[object] > 1) throw new Error('impossible');
}

function one(shared) {
  const root = new Int32Array(shared, 0, 1);
  const heap = new Uint16Array(shared, 32, 32);
  publish(root, heap, 4);
}

function two(shared) {
  const root = new Int32Array(shared, 0, 1);
  const heap = new Uint16Array(shared, 32, 32);
  publish(root, heap, 8);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(128);
  new Worker(new URL(import.meta.url), { workerData: shared });
  one(shared);
} else {
  two(workerData);
}
