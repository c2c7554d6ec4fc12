// A double and a word: the word lies behind the double.
// expect: none

import { Worker } from 'node:worker_threads';

function doubleWriter(shared) {
  const doubles = new Float64Array(shared, 8, 2);
  doubles[0] = Math.PI;
}

function wordWriter(shared) {
  const words = new Uint32Array(shared, 8, 4);
  words[2] = 3;
}

const shared = new SharedArrayBuffer(64);
for (const role of [doubleWriter, wordWriter]) {
  const source = `import { workerData } from 'node:worker_threads';\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
