// A pipeline of three stages: the middle one writes first.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function first(shared) {
  const stages = new Int32Array(shared, 0, 3);
  const values = new Float32Array(shared, 16, 2);
  values[0] = 1.25;
  set(stages, 0);
}

function middle(shared) {
  const stages = new Int32Array(shared, 0, 3);
  const values = new Float32Array(shared, 16, 2);
  sleepUntilSet(stages, 0);
  values[1] = values[0] * 2;
  set(stages, 1);
}

function last(shared) {
  const stages = new Int32Array(shared, 0, 3);
  const values = new Float32Array(shared, 16, 2);
  sleepUntilSet(stages, 1);
  if (values[1] > 2.5) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['first', 'middle', 'last'])
    new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { first, middle, last };
  roles[workerData.role](workerData.shared);
}
