// A block that only its owner may free: its owner frees it.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { region } from '@tspdk/tsan';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  for (const role of ['owner', 'other']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const { shared, role } = workerData;
  const blocks = region('affine', 'blocks');
  const turn = new Int32Array(shared, 0, 2);
  if (role === 'owner') {
    blocks.alloc(shared, 64, 32);
    new Int32Array(shared, 64, 8).fill(1);
    set(turn, 0);
    sleepUntilSet(turn, 1);
    blocks.free(shared, 64);
  } else {
    sleepUntilSet(turn, 0);
    set(turn, 1);
  }
}
