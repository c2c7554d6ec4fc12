// Peterson's lock for two threads: its words are atomic.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function enter(want, me) {
  Atomics.store(want, me, 1);
  Atomics.store(want, 2, 1 - me);
  while (Atomics.load(want, 1 - me) === 1 && Atomics.load(want, 2) === 1 - me);
}

function leave(want, me) {
  Atomics.store(want, me, 0);
}

function zero(shared) {
  const want = new Uint8Array(shared, 0, 3);
  const count = new Float64Array(shared, 8, 1);
  for (let round = 0; round < 40; round++) {
    enter(want, 0);
    count[0] += 1;
    leave(want, 0);
  }
}

function one(shared) {
  const want = new Uint8Array(shared, 0, 3);
  const count = new Float64Array(shared, 8, 1);
  for (let round = 0; round < 40; round++) {
    enter(want, 1);
    count[0] += 1;
    leave(want, 1);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['zero', 'one']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { zero, one };
  roles[workerData.role](workerData.shared);
}
