// Two halves that are filled by a thread each: the left half is filled one element too far.
// expect: plain/plain

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function left(shared) {
  const words = new Uint16Array(shared, 0, 512);
  words.fill(1, 0, 257);
}

function right(shared) {
  const words = new Uint16Array(shared, 0, 512);
  words.fill(2, 256);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(1024);
  for (const role of ['left', 'right']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { left, right };
  roles[workerData.role](workerData.shared);
}
