// Two producers that claim slots of one log: they claim by a plain ++.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

function left(shared) {
  const tail = new Int32Array(shared, 0, 1);
  const slots = new Int32Array(shared, 256, 64);
  for (let value = 0; value < 20; value++) {
    const at = tail[0]++;
    slots[at] = value;
  }
}

function right(shared) {
  const tail = new Int32Array(shared, 0, 1);
  const slots = new Int32Array(shared, 256, 64);
  for (let value = 0; value < 20; value++) {
    const at = tail[0]++;
    slots[at] = -value;
  }
}

const shared = new SharedArrayBuffer(512);
for (const role of [left, right]) {
  const source = `import { workerData } from 'node:worker_threads';\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
