// Four threads that write a cell each and read the one beside it: a barrier stands between.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function barrier(state, threads) {
  const generation = Atomics.load(state, 1);
  if (Atomics.add(state, 0, 1) === threads - 1) {
    Atomics.store(state, 0, 0);
    Atomics.add(state, 1, 1);
    Atomics.notify(state, 1);
  } else {
    while (Atomics.load(state, 1) === generation) Atomics.wait(state, 1, generation);
  }
}

function a(shared) {
  const state = new Int32Array(shared, 0, 2);
  const cells = new Int32Array(shared, 64, 4);
  cells[0] = 1;
  barrier(state, 4);
  if (cells[1] > 2) throw new Error('impossible');
}

function b(shared) {
  const state = new Int32Array(shared, 0, 2);
  const cells = new Int32Array(shared, 64, 4);
  cells[1] = 2;
  barrier(state, 4);
  if (cells[2] > 3) throw new Error('impossible');
}

function c(shared) {
  const state = new Int32Array(shared, 0, 2);
  const cells = new Int32Array(shared, 64, 4);
  cells[2] = 3;
  barrier(state, 4);
  if (cells[3] > 4) throw new Error('impossible');
}

function d(shared) {
  const state = new Int32Array(shared, 0, 2);
  const cells = new Int32Array(shared, 64, 4);
  cells[3] = 4;
  barrier(state, 4);
  if (cells[0] > 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  for (const role of ['b', 'c', 'd']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
  a(shared);
} else {
  const roles = { b, c, d };
  roles[workerData.role](workerData.shared);
}
