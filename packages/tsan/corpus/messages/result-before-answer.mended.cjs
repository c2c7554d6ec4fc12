// A worker that fills a buffer and answers: the parent looks when it is answered.
// expect: none

const { isMainThread, parentPort, Worker } = require('node:worker_threads');

if (isMainThread) {
  const bytes = new Uint8Array(new SharedArrayBuffer(16));
  const worker = new Worker(__filename);
  worker.postMessage({ kind: 'fill', target: bytes });
  worker.once('message', () => {
    if (bytes[15] !== 1) throw new Error('not seen');
  });
} else {
  parentPort.once('message', ({ target }) => {
    target.fill(1);
    parentPort.postMessage('filled');
  });
}
