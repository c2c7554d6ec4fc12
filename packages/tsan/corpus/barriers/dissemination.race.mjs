// A barrier of four threads in rounds, each signalling further away: the second round is missing.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function signalAndWait(flags, me, round) {
  const to = (me + (1 << round)) % 4;
  Atomics.store(flags, round * 4 + to, 1);
  while (Atomics.load(flags, round * 4 + me) === 0);
}

function run(flags, cells, me) {
  cells[me] = me;
  for (let round = 0; round < 1; round++) signalAndWait(flags, me, round);
  if (cells[(me + 2) % 4] > 3) throw new Error('impossible');
}

function zero(shared) {
  const flags = new Uint8Array(shared, 0, 8);
  const cells = new Uint16Array(shared, 64, 4);
  run(flags, cells, 0);
}

function one(shared) {
  const flags = new Uint8Array(shared, 0, 8);
  const cells = new Uint16Array(shared, 64, 4);
  run(flags, cells, 1);
}

function two(shared) {
  const flags = new Uint8Array(shared, 0, 8);
  const cells = new Uint16Array(shared, 64, 4);
  run(flags, cells, 2);
}

function three(shared) {
  const flags = new Uint8Array(shared, 0, 8);
  const cells = new Uint16Array(shared, 64, 4);
  run(flags, cells, 3);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  for (const role of ['zero', 'one', 'two', 'three'])
    new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { zero, one, two, three };
  roles[workerData.role](workerData.shared);
}
