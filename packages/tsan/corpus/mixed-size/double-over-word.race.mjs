// A double and a word: the word is the upper half of the double.
// expect: plain/plain may-tear

import { Worker } from 'node:worker_threads';

function doubleWriter(shared) {
  const doubles = new Float64Array(shared, 8, 2);
  doubles[0] = Math.PI;
}

function wordWriter(shared) {
  const words = new Uint32Array(shared, 8, 4);
  words[1] = 3;
}

const shared = new SharedArrayBuffer(64);
for (const role of [doubleWriter, wordWriter]) {
  const source = `import { workerData } from 'node:worker_threads';\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
