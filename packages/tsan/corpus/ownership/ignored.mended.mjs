// A peek at a word for a log: it is not checked, as it says itself.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { ignoreBegin, ignoreEnd } from '@tspdk/tsan';

if (isMainThread) {
  const words = new Int32Array(new SharedArrayBuffer(16));
  new Worker(new URL(import.meta.url), { workerData: words });
  ignoreBegin();
  if (words[3] > 4) throw new Error('impossible');
  ignoreEnd();
} else {
  workerData[3] = 4;
}
