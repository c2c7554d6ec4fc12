// A buffer that is filled for a worker: it is filled after the message that hands it over.
// expect: plain/plain

import { isMainThread, parentPort, Worker } from 'node:worker_threads';

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  const words = new Int32Array(new SharedArrayBuffer(32));
  worker.postMessage(words);
  words.fill(7);
} else {
  parentPort.once('message', (words) => {
    if (words[3] > 7) throw new Error('impossible');
  });
}
