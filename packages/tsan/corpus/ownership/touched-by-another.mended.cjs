// A block that only its owner may touch: the block is one that all may touch.
// expect: none

const { region } = require('@tspdk/tsan');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const shared = new SharedArrayBuffer(96);
  const worker = new Worker(__filename, { workerData: shared });
  worker.once('message', () => {
    const [first] = new Int16Array(shared, 32, 4);
    if (first > 5) throw new Error('impossible');
  });
} else {
  const blocks = region('shared', 'results');
  blocks.alloc(workerData, 32, 8);
  new Int16Array(workerData, 32, 4)[0] = 5;
  parentPort.postMessage('written');
}
