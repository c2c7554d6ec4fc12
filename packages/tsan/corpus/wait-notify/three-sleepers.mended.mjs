// Three sleepers that one thread wakes together: all of them sleep.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function waker(shared) {
  const gate = new Int32Array(shared, 0, 1);
  const data = new Uint16Array(shared, 6, 3);
  data.set([10, 20, 30]);
  set(gate, 0);
}

function first(shared) {
  const gate = new Int32Array(shared, 0, 1);
  const data = new Uint16Array(shared, 6, 3);
  sleepUntilSet(gate, 0);
  if (data[0] !== 10) throw new Error('not seen');
}

function second(shared) {
  const gate = new Int32Array(shared, 0, 1);
  const data = new Uint16Array(shared, 6, 3);
  sleepUntilSet(gate, 0);
  if (data[1] !== 20) throw new Error('not seen');
}

function third(shared) {
  const gate = new Int32Array(shared, 0, 1);
  const data = new Uint16Array(shared, 6, 3);
  sleepUntilSet(gate, 0);
  if (data[2] > 30) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['waker', 'first', 'second', 'third'])
    new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { waker, first, second, third };
  roles[workerData.role](workerData.shared);
}
