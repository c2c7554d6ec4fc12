// A wait with a timeout: the reader waits again.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function reader(shared) {
  const words = new Int32Array(shared, 0, 2);
  const data = new Uint8Array(shared, 20, 1);
  set(words, 1);
  while (Atomics.load(words, 0) === 0) Atomics.wait(words, 0, 0, 5);
  if (data[0] > 1) throw new Error('impossible');
}

function writer(shared) {
  const words = new Int32Array(shared, 0, 2);
  const data = new Uint8Array(shared, 20, 1);
  sleepUntilSet(words, 1);
  data[0] = 1;
  set(words, 0);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['reader', 'writer']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { reader, writer };
  roles[workerData.role](workerData.shared);
}
