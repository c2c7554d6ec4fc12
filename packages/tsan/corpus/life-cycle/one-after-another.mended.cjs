// Workers that do the same work one after another: the second starts when the first has ended.
// expect: none

const { isMainThread, threadId, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const log = new Int16Array(new SharedArrayBuffer(16));
  const run = () => new Worker(__filename, { workerData: { log } });
  run().on('exit', run);
} else {
  const { log } = workerData;
  log[0]++;
  log[log[0]] = threadId;
}
