// A loop over a view that ends early: it ends before.
// expect: none

const { Worker } = require('node:worker_threads');

function reader(shared) {
  const bytes = new Uint8Array(shared, 8, 16);
  let count = 0;
  for (const byte of bytes) {
    if (byte > 1 || ++count === 8) break;
  }
}

function writer(shared) {
  const bytes = new Uint8Array(shared, 8, 16);
  bytes[8] = 1;
}

const shared = new SharedArrayBuffer(64);
for (const role of [reader, writer]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
