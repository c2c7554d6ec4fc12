// A block that is freed by the thread that used it last: its region is for owners only.
// expect: ownership

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { region } from '@tspdk/tsan';

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  const messages = region('affine', 'messages');
  messages.alloc(shared, 8, 24);
  new BigInt64Array(shared, 8, 3)[0] = 9n;
  new Worker(new URL(import.meta.url), { workerData: shared });
} else {
  region('affine', 'messages').free(workerData, 8);
}
