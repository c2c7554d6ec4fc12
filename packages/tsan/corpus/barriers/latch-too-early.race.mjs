// A latch that a thread waits for: a worker counts down before it has written.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function waiter(shared) {
  const latch = new Int32Array(shared, 0, 1);
  const results = new Int32Array(shared, 32, 2);
  for (let left = 2; left > 0; left = Atomics.load(latch, 0)) Atomics.wait(latch, 0, left);
  if (results[0] + results[1] > 3) throw new Error('impossible');
}

function first(shared) {
  const latch = new Int32Array(shared, 0, 1);
  const results = new Int32Array(shared, 32, 2);
  results[0] = 1;
  Atomics.sub(latch, 0, 1);
  Atomics.notify(latch, 0);
}

function second(shared) {
  const latch = new Int32Array(shared, 0, 1);
  const results = new Int32Array(shared, 32, 2);
  Atomics.sub(latch, 0, 1);
  Atomics.notify(latch, 0);
  results[1] = 2;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Int32Array(shared)[0] = 2;
  for (const role of ['first', 'second']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
  waiter(shared);
} else {
  const roles = { first, second };
  roles[workerData.role](workerData.shared);
}
