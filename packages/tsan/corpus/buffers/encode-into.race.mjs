// A text that is encoded into shared bytes: a thread reads the last byte of it.
// expect: plain/plain may-tear

import { Worker } from 'node:worker_threads';

function encoder(shared) {
  const bytes = new Uint8Array(shared, 0, 16);
  new TextEncoder().encodeInto('abc€', bytes);
}

function reader(shared) {
  const bytes = new Uint8Array(shared, 0, 16);
  if (bytes[5] === 1) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [encoder, reader]) {
  const source = `import { workerData } from 'node:worker_threads';\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
