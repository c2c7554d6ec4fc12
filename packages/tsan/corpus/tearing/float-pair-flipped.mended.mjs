// A vector of floats, kept twice: the other copy is written, and the shown one is left alone.
// expect: none

import { Worker } from 'node:worker_threads';

function writer(shared) {
  const shown = new Int32Array(shared, 0, 1);
  const vectors = [new Float32Array(shared, 16, 3), new Float32Array(shared, 32, 3)];
  const next = 1 - Atomics.load(shown, 0);
  vectors[next].set([0.1, 0.2, 0.3]);
  Atomics.store(shown, 0, 1);
}

function reader(shared) {
  const shown = new Int32Array(shared, 0, 1);
  const vectors = [new Float32Array(shared, 16, 3), new Float32Array(shared, 32, 3)];
  const [x, y, z] = vectors[Atomics.load(shown, 0)];
  if (x + y + z > 1) throw new Error('torn');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `import { workerData } from 'node:worker_threads';\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
