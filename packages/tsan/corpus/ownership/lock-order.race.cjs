// Two annotated locks: two threads take them in opposite order.
// expect: deadlock

const { lock } = require('@tspdk/tsan');
const { isMainThread, Worker, workerData } = require('node:worker_threads');

function take(words, at) {
  lock.acquiring(words, at);
  while (Atomics.compareExchange(words, at, 0, 1) !== 0);
  lock.acquired(words, at);
}

function leave(words, at) {
  lock.releasing(words, at);
  Atomics.store(words, at, 0);
}

if (isMainThread) {
  const words = new Int32Array(new SharedArrayBuffer(16));
  for (const at of [0, 1]) lock.created(words, at, `lock ${at}`);
  const run = (order) => new Worker(__filename, { workerData: { words, order } });
  // One after the other, so that it never does lock up.
  run([0, 1]).once('exit', () => run([1, 0]));
} else {
  const { words, order } = workerData;
  for (const at of order) take(words, at);
  for (const at of [...order].reverse()) leave(words, at);
}
