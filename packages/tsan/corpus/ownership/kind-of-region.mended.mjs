// A block that is freed by the thread that used it last: its region is a pool.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { region } from '@tspdk/tsan';

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  const messages = region('pool', 'messages');
  messages.alloc(shared, 8, 24);
  new BigInt64Array(shared, 8, 3)[0] = 9n;
  new Worker(new URL(import.meta.url), { workerData: shared });
} else {
  region('pool', 'messages').free(workerData, 8);
}
