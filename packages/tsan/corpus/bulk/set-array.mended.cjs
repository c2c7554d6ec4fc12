// An array that is copied into a view: it ends before that element.
// expect: none

const { Worker } = require('node:worker_threads');

function writer(shared) {
  const words = new Int32Array(shared, 0, 8);
  words.set([1, 2, 3], 2);
}

function reader(shared) {
  const words = new Int32Array(shared, 0, 8);
  if (words[5] > 4) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
