// Two halves of a buffer with a message each: both halves are read at the first message.
// expect: plain/plain

const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const words = new Uint32Array(new SharedArrayBuffer(64));
  new Worker(__filename, { workerData: words }).on('message', (half) => {
    const part = words.subarray(0, 16 + half * 0);
    if (part.reduce((sum, each) => sum + each, 0) > 24) throw new Error('impossible');
  });
} else {
  for (let half = 0; half < 2; half++) {
    for (let at = 0; at < 8; at++) workerData[half * 8 + at] = half + 1;
    parentPort.postMessage(half);
  }
}
