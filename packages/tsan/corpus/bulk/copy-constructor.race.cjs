// A view that is copied by a constructor: it is copied before the flag is seen.
// expect: plain/plain may-tear

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function copier(shared) {
  const words = new Uint32Array(shared, 0, 8);
  const flag = new Int32Array(shared, 60, 1);
  const copy = new Float32Array(words);
  sleepUntilSet(flag, 0);
  if (copy[7] > 7) throw new Error('impossible');
}

function writer(shared) {
  const words = new Uint32Array(shared, 0, 8);
  const flag = new Int32Array(shared, 60, 1);
  words.forEach((_, at) => {
    words[at] = at;
  });
  set(flag, 0);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Worker(__filename, { workerData: shared });
  copier(shared);
} else {
  writer(workerData);
}
