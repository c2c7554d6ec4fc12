// Two halves of a buffer with a message each: each half is read at its own message.
// expect: none

const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const words = new Uint32Array(new SharedArrayBuffer(64));
  new Worker(__filename, { workerData: words }).on('message', (half) => {
    const part = words.subarray(half * 8, half * 8 + 8);
    if (part.reduce((sum, each) => sum + each, 0) > 24) throw new Error('impossible');
  });
} else {
  for (let half = 0; half < 2; half++) {
    for (let at = 0; at < 8; at++) workerData[half * 8 + at] = half + 1;
    parentPort.postMessage(half);
  }
}
