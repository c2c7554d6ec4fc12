// Two copies, of which readers are kept off the one that is written: the writer does not wait until the readers have left.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function writer(shared) {
  const side = new Int32Array(shared, 0, 1);
  const copies = new Int32Array(shared, 32, 2);
  const met = new Int32Array(shared, 48, 1);
  meet(met, 0, 2);
  for (let round = 1; round <= 100; round++) {
    const next = 1 - Atomics.load(side, 0);

    copies[next] = round;
    Atomics.store(side, 0, next);
  }
}

function reader(shared) {
  const side = new Int32Array(shared, 0, 1);
  const readers = new Int32Array(shared, 4, 2);
  const copies = new Int32Array(shared, 32, 2);
  const met = new Int32Array(shared, 48, 1);
  meet(met, 0, 2);
  for (let round = 0; round < 100; round++) {
    const seen = Atomics.load(side, 0);
    Atomics.add(readers, seen, 1);
    if (Atomics.load(side, 0) === seen && copies[seen] > 100) throw new Error('impossible');
    Atomics.sub(readers, seen, 1);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['writer', 'reader']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { writer, reader };
  roles[workerData.role](workerData.shared);
}
