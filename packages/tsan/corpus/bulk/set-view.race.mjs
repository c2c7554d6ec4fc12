// A view that is copied into another view: its source is written meanwhile.
// expect: plain/plain may-tear

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function copier(shared) {
  const source = new Uint8Array(shared, 0, 64);
  const target = new Uint8Array(shared, 128, 64);
  target.set(source);
}

function writer(shared) {
  new DataView(shared).setUint8(63, 5);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  for (const role of ['copier', 'writer']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { copier, writer };
  roles[workerData.role](workerData.shared);
}
