// Parts that are joined to a new Buffer: one of the parts is being written.
// expect: plain/plain may-tear

import { Worker } from 'node:worker_threads';

function joiner(shared) {
  const parts = [Buffer.from(shared, 0, 8), Buffer.from(shared, 8, 8), Buffer.from(shared, 16, 8)];
  const all = Buffer.concat([parts[0], parts[1]]);
  if (all.length !== 16) throw new Error('impossible');
}

function writer(shared) {
  const parts = [Buffer.from(shared, 0, 8), Buffer.from(shared, 8, 8), Buffer.from(shared, 16, 8)];
  parts[1].writeDoubleBE(0.5);
}

const shared = new SharedArrayBuffer(64);
for (const role of [joiner, writer]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
