// A search from the end: it goes past the element that is written.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function searcher(shared) {
  const bytes = new Uint8Array(shared, 0, 20);
  if (bytes.findLastIndex((byte) => byte * 2 === 4) > 15) throw new Error('impossible');
}

function writer(shared) {
  const bytes = new Uint8Array(shared, 0, 20);
  bytes[10] = 3;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  new Uint8Array(shared)[15] = 1;
  new Worker(new URL(import.meta.url), { workerData: shared });
  searcher(shared);
} else {
  writer(workerData);
}
