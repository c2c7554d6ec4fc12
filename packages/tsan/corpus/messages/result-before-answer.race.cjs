// A worker that fills a buffer and answers: the parent looks without waiting for the answer.
// expect: plain/plain

const { isMainThread, parentPort, Worker } = require('node:worker_threads');

if (isMainThread) {
  const bytes = new Uint8Array(new SharedArrayBuffer(16));
  const worker = new Worker(__filename);
  worker.postMessage({ kind: 'fill', target: bytes });
  worker.once('online', () => {
    if (bytes[15] > 1) throw new Error('impossible');
  });
} else {
  parentPort.once('message', ({ target }) => {
    target.fill(1);
    parentPort.postMessage('filled');
  });
}
