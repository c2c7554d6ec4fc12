// A word that lies across two elements: it is written through a DataView while the elements are read.
// expect: may-tear plain/plain

import { Worker } from 'node:worker_threads';

function writer(shared) {
  const view = new DataView(shared);
  view.setInt32(6, -1);

  if (view.byteLength !== 64) throw new Error('impossible');
}

function reader(shared) {
  const words = new Uint32Array(shared, 0, 4);

  if (words[2] === 1) throw new Error('torn');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
