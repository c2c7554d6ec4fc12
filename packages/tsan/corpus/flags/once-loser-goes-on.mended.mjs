// Slots that are initialised by whoever comes first: the loser waits.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function get(states, values, at) {
  const state = Atomics.compareExchange(states, at, 0, 1);
  if (state === 0) {
    values[at] = at + 1;
    Atomics.store(states, at, 2);
  } else {
    while (Atomics.load(states, at) !== 2);
  }
  return values[at];
}

function one(shared) {
  const states = new Int32Array(shared, 0, 50);
  const values = new Int32Array(shared, 256, 50);
  const met = new Int32Array(shared, 1020, 1);
  for (let at = 0; at < 50; at++) {
    meet(met, 0, at * 2 + 2);
    if (get(states, values, at) > 50) throw new Error('impossible');
  }
}

function two(shared) {
  const states = new Int32Array(shared, 0, 50);
  const values = new Int32Array(shared, 256, 50);
  const met = new Int32Array(shared, 1020, 1);
  for (let at = 0; at < 50; at++) {
    meet(met, 0, at * 2 + 2);
    if (get(states, values, at) > 50) throw new Error('impossible');
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(1024);
  for (const role of ['one', 'two']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { one, two };
  roles[workerData.role](workerData.shared);
}
