// Requests and replies over one shared buffer: the next request is written without waiting for the reply.
// expect: plain/plain

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const request = new Int32Array(new SharedArrayBuffer(16));
  const worker = new Worker(new URL(import.meta.url), { workerData: request });
  for (let number = 1; number <= 3; number++) {
    request[0] = number;
    request[1] = number * number;
    worker.postMessage('request');
  }
  worker.postMessage('end');
} else {
  parentPort.on('message', (text) => {
    if (text === 'end') parentPort.close();
    else parentPort.postMessage(workerData[0] + workerData[1]);
  });
}
