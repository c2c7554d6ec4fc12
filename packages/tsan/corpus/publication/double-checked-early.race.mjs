// Double-checked initialisation of many values: a value is marked ready before it is there.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function until(flags, at, value) {
  while (Atomics.load(flags, at) !== value);
}

function get(states, values, at) {
  if (Atomics.load(states, at) !== 2) {
    while (Atomics.compareExchange(states, 60, 0, 1) !== 0);
    if (Atomics.load(states, at) !== 2) {
      Atomics.store(states, at, 2);
      values[at] = at;
    }
    Atomics.store(states, 60, 0);
  }
  return values[at];
}

function one(shared) {
  const states = new Int32Array(shared, 0, 64);
  const values = new Int32Array(shared, 512, 60);
  for (let at = 0; at < 60; at++) if (get(states, values, at) > 60) throw new Error('impossible');
}

function two(shared) {
  const states = new Int32Array(shared, 0, 64);
  const values = new Int32Array(shared, 512, 60);
  for (let at = 59; at >= 0; at--) if (get(states, values, at) > 60) throw new Error('impossible');
}

function watcher(shared) {
  const states = new Int32Array(shared, 0, 64);
  const values = new Int32Array(shared, 512, 60);
  for (const at of [30, 10, 50]) {
    until(states, at, 2);
    if (values[at] > 60) throw new Error('impossible');
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(1024);
  for (const role of ['one', 'two', 'watcher']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { one, two, watcher };
  roles[workerData.role](workerData.shared);
}
