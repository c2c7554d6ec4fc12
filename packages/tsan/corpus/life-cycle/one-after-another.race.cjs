// Workers that do the same work one after another: the second starts at once.
// expect: plain/plain

const { isMainThread, threadId, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const log = new Int16Array(new SharedArrayBuffer(16));
  const run = () => new Worker(__filename, { workerData: { log } });
  run();
  run();
} else {
  const { log } = workerData;
  log[0]++;
  log[log[0]] = threadId;
}
