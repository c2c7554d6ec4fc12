// A ring of one producer and one consumer: a slot is filled before it is published.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function producer(shared) {
  const indices = new Int32Array(shared, 0, 2);
  const ring = new Float32Array(shared, 128, 4);
  for (let sent = 0; sent < 20; sent++) {
    while (sent - Atomics.load(indices, 0) === 4);
    ring[sent % 4] = sent / 2;
    Atomics.store(indices, 1, sent + 1);
  }
}

function consumer(shared) {
  const indices = new Int32Array(shared, 0, 2);
  const ring = new Float32Array(shared, 128, 4);
  for (let taken = 0; taken < 20; taken++) {
    while (Atomics.load(indices, 1) === taken);
    if (ring[taken % 4] > 10) throw new Error('impossible');
    Atomics.store(indices, 0, taken + 1);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  new Worker(new URL(import.meta.url), { workerData: shared });
  producer(shared);
} else {
  consumer(workerData);
}
