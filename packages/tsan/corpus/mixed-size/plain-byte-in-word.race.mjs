// A word and a byte, both plain: the byte lies in the word.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

function wordWriter(shared) {
  const words = new Int32Array(shared, 0, 2);
  words[0] = -1;
}

function byteReader(shared) {
  const bytes = new Uint8Array(shared, 0, 8);
  if (bytes[3] === 7) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [wordWriter, byteReader]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
