// Data that is there when the buffer has grown: it is written afterwards.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const shared = new SharedArrayBuffer(32, { maxByteLength: 64 });
  for (const role of ['writer', 'reader']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const { shared, role } = workerData;
  const data = new Int32Array(shared, 0, 1);
  if (role === 'writer') {
    shared.grow(64);
    data[0] = 1;
  } else {
    while (shared.byteLength < 64);
    if (data[0] > 1) throw new Error('impossible');
  }
}
