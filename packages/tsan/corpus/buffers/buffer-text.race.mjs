// A text in a Buffer: the byte behind its two-byte letter is looked at.
// expect: plain/plain may-tear

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function writer(shared) {
  const buffer = Buffer.from(shared);
  buffer.write('né', 10);
}

function reader(shared) {
  const buffer = Buffer.from(shared);
  if (buffer[12] === 1) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['writer', 'reader']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { writer, reader };
  roles[workerData.role](workerData.shared);
}
