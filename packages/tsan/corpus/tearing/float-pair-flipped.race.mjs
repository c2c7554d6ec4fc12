// A vector of floats, kept twice: the copy that is shown is written.
// expect: may-tear plain/plain

import { Worker } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function writer(shared) {
  const shown = new Int32Array(shared, 0, 1);
  const loaded = new Int32Array(shared, 8, 1);
  const vectors = [new Float32Array(shared, 16, 3), new Float32Array(shared, 32, 3)];
  sleepUntilSet(loaded, 0);
  const next = Atomics.load(shown, 0);
  vectors[next].set([0.1, 0.2, 0.3]);
  Atomics.store(shown, 0, 0);
}

function reader(shared) {
  const shown = new Int32Array(shared, 0, 1);
  const loaded = new Int32Array(shared, 8, 1);
  const vectors = [new Float32Array(shared, 16, 3), new Float32Array(shared, 32, 3)];
  const at = Atomics.load(shown, 0);
  set(loaded, 0);
  const [x, y, z] = vectors[at];
  if (x + y + z > 1) throw new Error('torn');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `import { workerData } from 'node:worker_threads';\n${sleepUntilSet}\n${set}\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
