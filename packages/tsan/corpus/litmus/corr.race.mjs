// Coherence of two reads: the reads are plain.
// expect: plain/atomic

import { Worker } from 'node:worker_threads';

function writer(shared) {
  const x = new Uint32Array(shared, 12, 1);
  Atomics.store(x, 0, 1);
  Atomics.store(x, 0, 2);
}

function reader(shared) {
  const x = new Uint32Array(shared, 12, 1);
  const [first, second] = [x[0], x[0]];
  if (first + second > 4) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `import { workerData } from 'node:worker_threads';\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
