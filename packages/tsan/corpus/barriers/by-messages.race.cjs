// A barrier that the parent runs by messages: it opens at the first arrival.
// expect: plain/plain

const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const cells = new Int32Array(new SharedArrayBuffer(8));
  const workers = [0, 1].map((me) => new Worker(__filename, { workerData: { cells, me } }));
  let arrived = 0;
  for (const worker of workers) {
    worker.once('message', () => {
      arrived++;
      if (arrived > 0) worker.postMessage('go');
    });
  }
} else {
  const { cells, me } = workerData;
  cells[me] = 1;
  parentPort.once('message', () => {
    if (cells[1 - me] > 1) throw new Error('impossible');
  });
  parentPort.postMessage('arrived');
}
