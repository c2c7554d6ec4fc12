// Random bytes for one half of a buffer: they stay in their half.
// expect: none

import { randomFillSync } from 'node:crypto';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const bytes = new Uint8Array(new SharedArrayBuffer(128));
  new Worker(new URL(import.meta.url), { workerData: bytes });
  randomFillSync(bytes, 0, 64);
} else {
  if (workerData[64] > 255) throw new Error('impossible');
}
