// A stack of linked nodes, taken whole by one consumer: a node is linked after it was published.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function push(head, next, node) {
  let seen = Atomics.load(head, 0);
  for (;;) {
    const found = Atomics.compareExchange(head, 0, seen, node);
    if (found === seen) break;
    seen = found;
  }
  next[node] = seen;
}

function low(shared) {
  const head = new Int32Array(shared, 0, 1);
  const next = new Int32Array(shared, 64, 16);
  for (let node = 1; node < 8; node++) push(head, next, node);
}

function high(shared) {
  const head = new Int32Array(shared, 0, 1);
  const next = new Int32Array(shared, 64, 16);
  for (let node = 8; node < 16; node++) push(head, next, node);
}

function consumer(shared) {
  const head = new Int32Array(shared, 0, 1);
  const next = new Int32Array(shared, 64, 16);
  let taken = 0;
  for (let tries = 0; taken < 1 && tries < 1e9; tries++) {
    for (let node = Atomics.exchange(head, 0, 0), steps = 0; node !== 0 && steps < 16; steps++) {
      taken++;
      node = next[node];
    }
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  for (const role of ['low', 'high', 'consumer'])
    new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { low, high, consumer };
  roles[workerData.role](workerData.shared);
}
