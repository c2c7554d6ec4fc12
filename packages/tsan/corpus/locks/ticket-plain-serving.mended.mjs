// A ticket lock of three threads: it is raised by Atomics.add.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function take(tickets) {
  const mine = Atomics.add(tickets, 0, 1);
  while (Atomics.load(tickets, 1) !== mine);
}

function pass(tickets) {
  Atomics.add(tickets, 1, 1);
}

function one(shared) {
  const tickets = new Uint32Array(shared, 0, 2);
  const log = new Uint8Array(shared, 40, 8);
  for (let round = 0; round < 10; round++) {
    take(tickets);
    log[round % 8] = 1;
    pass(tickets);
  }
}

function two(shared) {
  const tickets = new Uint32Array(shared, 0, 2);
  const log = new Uint8Array(shared, 40, 8);
  for (let round = 0; round < 10; round++) {
    take(tickets);
    log[round % 8] = 2;
    pass(tickets);
  }
}

function three(shared) {
  const tickets = new Uint32Array(shared, 0, 2);
  const log = new Uint8Array(shared, 40, 8);
  for (let round = 0; round < 10; round++) {
    take(tickets);
    log[(round * 3) % 8] ^= 3;
    pass(tickets);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['one', 'two', 'three']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { one, two, three };
  roles[workerData.role](workerData.shared);
}
