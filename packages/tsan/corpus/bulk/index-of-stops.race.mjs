// A search that stops at the first match: what it looks for is not there, so it reads all.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

function searcher(shared) {
  const words = new Int32Array(shared, 0, 16);
  if (words.indexOf(34) > 3) throw new Error('impossible');
}

function writer(shared) {
  const words = new Int32Array(shared, 0, 16);
  words[12] = 1;
}

const shared = new SharedArrayBuffer(64);
new Int32Array(shared)[3] = 33;
for (const role of [searcher, writer]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
