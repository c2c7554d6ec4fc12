// Two producers and a consumer: the producers share a ring that is made for one.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function send(ends, ring, value) {
  const tail = Atomics.load(ends, 0);
  ring[tail % 32] = value;
  Atomics.store(ends, 0, tail + 1);
}

function left(shared) {
  const ends = [new Int32Array(shared, 0, 1), new Int32Array(shared, 4, 1)];
  const rings = [new Int32Array(shared, 64, 32), new Int32Array(shared, 256, 32)];
  const met = new Int32Array(shared, 16, 1);
  for (let value = 1; value <= 16; value++) {
    meet(met, 0, value * 2);
    send(ends[0], rings[0], value);
  }
}

function right(shared) {
  const ends = [new Int32Array(shared, 0, 1), new Int32Array(shared, 4, 1)];
  const rings = [new Int32Array(shared, 64, 32), new Int32Array(shared, 256, 32)];
  const met = new Int32Array(shared, 16, 1);
  for (let value = 1; value <= 16; value++) {
    meet(met, 0, value * 2);
    send(ends[0], rings[0], value);
  }
}

function consumer(shared) {
  const ends = [new Int32Array(shared, 0, 1), new Int32Array(shared, 4, 1)];
  const rings = [new Int32Array(shared, 64, 32), new Int32Array(shared, 256, 32)];
  let sum = 0;
  for (const which of [0, 1]) {
    const tail = Atomics.load(ends[which], 0);
    for (let at = 0; at < tail; at++) sum += rings[which][at];
  }
  if (sum > 1000) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(512);
  for (const role of ['right', 'consumer']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
  left(shared);
} else {
  const roles = { right, consumer };
  roles[workerData.role](workerData.shared);
}
