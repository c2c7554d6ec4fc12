// A peek at a word for a log: it is checked as any other access.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const words = new Int32Array(new SharedArrayBuffer(16));
  new Worker(new URL(import.meta.url), { workerData: words });
  if (words[3] > 4) throw new Error('impossible');
} else {
  workerData[3] = 4;
}
