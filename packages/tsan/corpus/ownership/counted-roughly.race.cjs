// A count that need not be exact: nothing says that it need not.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const statistics = new Uint32Array(new SharedArrayBuffer(32));
  new Worker(__filename, { workerData: statistics });
  for (let round = 0; round < 10; round++) statistics[2]++;
} else {
  for (let round = 0; round < 10; round++) workerData[2]++;
}
