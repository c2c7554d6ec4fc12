// A buffer that is filled for a worker: it is filled before the message.
// expect: none

import { isMainThread, parentPort, Worker } from 'node:worker_threads';

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  const words = new Int32Array(new SharedArrayBuffer(32));
  words.fill(7);
  worker.postMessage(words);
} else {
  parentPort.once('message', (words) => {
    if (words[3] > 7) throw new Error('impossible');
  });
}
