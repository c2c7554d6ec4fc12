// A sum over a view: it covers the part that is being written.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

function adder(shared) {
  const words = new Uint32Array(shared, 0, 12);
  const sum = words.subarray(0, 8).reduce((total, each) => total + each, 0);
  if (sum > 2) throw new Error('impossible');
}

function writer(shared) {
  const words = new Uint32Array(shared, 0, 12);
  for (let at = 6; at < 8; at++) words[at]++;
}

const shared = new SharedArrayBuffer(64);
for (const role of [adder, writer]) {
  const source = `import { workerData } from 'node:worker_threads';\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
