// A block that its owner frees: the owner reads it before that.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { region } from '@tspdk/tsan';

if (isMainThread) {
  new Worker(new URL(import.meta.url), { workerData: new SharedArrayBuffer(64) });
} else {
  const blocks = region('affine');
  const words = new Float64Array(workerData, 16, 2);
  blocks.alloc(workerData, 16, 16);
  words[1] = 0.5;
  if (words[1] > 1) throw new Error('impossible');
  blocks.free(workerData, 16);
}
