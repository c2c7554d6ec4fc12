// Records of several bytes behind one another: the end is an atomic word.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function writer(shared) {
  const end = new Int16Array(shared, 0, 1);
  const bytes = new Uint8Array(shared, 16, 200);
  let at = 0;
  for (const record of [[1], [2, 2], [3, 3, 3]]) {
    bytes[at] = record.length;
    bytes.set(record, at + 1);
    at += record.length + 1;
    Atomics.store(end, 0, at);
  }
}

function reader(shared) {
  const end = new Int16Array(shared, 0, 1);
  const bytes = new Uint8Array(shared, 16, 200);
  let at = 0;
  while (at < 9) {
    const committed = Atomics.load(end, 0);
    while (at < committed) {
      const length = bytes[at];
      if (bytes.subarray(at + 1, at + 1 + length).some((byte) => byte > 3)) throw new Error('impossible');
      at += length + 1;
    }
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  for (const role of ['writer', 'reader']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { writer, reader };
  roles[workerData.role](workerData.shared);
}
