// A text that is taken from a Buffer: its last byte is being written.
// expect: plain/plain may-tear

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function reader(shared) {
  const buffer = Buffer.from(shared, 32, 32);
  const text = buffer.toString('latin1', 0, 8);
  if (text.length > 8) throw new Error('impossible');
}

function writer(shared) {
  const buffer = Buffer.from(shared, 32, 32);
  buffer[7] = 65;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['reader', 'writer']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { reader, writer };
  roles[workerData.role](workerData.shared);
}
