// A mutex that its owner may take again: the owner's number is read and written by plain accesses.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function enter(state, me) {
  if (state[1] !== me) {
    while (Atomics.compareExchange(state, 0, 0, 1) !== 0) Atomics.wait(state, 0, 1);
    state[1] = me;
  }
  state[2]++;
}

function leave(state) {
  if (--state[2] > 0) return;
  state[1] = 0;
  Atomics.store(state, 0, 0);
  Atomics.notify(state, 0, 1);
}

function one(shared) {
  const state = new Int32Array(shared, 0, 3);
  const count = new Int32Array(shared, 32, 1);
  for (let round = 0; round < 60; round++) {
    enter(state, 1);
    enter(state, 1);
    count[0]++;
    leave(state);
    leave(state);
  }
}

function two(shared) {
  const state = new Int32Array(shared, 0, 3);
  const count = new Int32Array(shared, 32, 1);
  for (let round = 0; round < 60; round++) {
    enter(state, 2);
    count[0]--;
    leave(state);
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  one(shared);
} else {
  two(workerData);
}
