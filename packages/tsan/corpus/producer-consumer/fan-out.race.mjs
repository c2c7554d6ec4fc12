// One producer and two consumers that divide its items: they divide them by a plain count.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function producer(shared) {
  const made = new Int32Array(shared, 0, 1);
  const items = new Uint8Array(shared, 64, 10);
  for (let at = 0; at < 10; at++) items[at] = at;
  set(made, 0);
}

function left(shared) {
  const made = new Int32Array(shared, 0, 1);
  const taken = new Int32Array(shared, 4, 1);
  const items = new Uint8Array(shared, 64, 10);
  sleepUntilSet(made, 0);
  for (;;) {
    const at = taken[0]++;
    if (at >= 10) break;
    items[at] *= 2;
  }
}

function right(shared) {
  const made = new Int32Array(shared, 0, 1);
  const taken = new Int32Array(shared, 4, 1);
  const items = new Uint8Array(shared, 64, 10);
  sleepUntilSet(made, 0);
  for (;;) {
    const at = taken[0]++;
    if (at >= 10) break;
    items[at] *= 2;
  }
}

const shared = new SharedArrayBuffer(128);
for (const role of [producer, left, right]) {
  const source = `import { workerData } from 'node:worker_threads';\n${sleepUntilSet}\n${set}\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
