// A spin lock: it is released by a plain store.
// expect: plain/atomic plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function spinLock(word) {
  while (Atomics.exchange(word, 0, 1) !== 0);
}

function first(shared) {
  const word = new Int32Array(shared, 8, 1);
  const sum = new Uint32Array(shared, 16, 2);
  for (let round = 0; round < 50; round++) {
    spinLock(word);
    sum[0] += round;
    sum[1] ^= sum[0];
    word[0] = 0;
  }
}

function second(shared) {
  const word = new Int32Array(shared, 8, 1);
  const sum = new Uint32Array(shared, 16, 2);
  for (let round = 0; round < 50; round++) {
    spinLock(word);
    sum[1] += sum[0];
    word[0] = 0;
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['first', 'second']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { first, second };
  roles[workerData.role](workerData.shared);
}
