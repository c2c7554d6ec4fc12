// A worker from a text and one from a data: URL: they run at the same time.
// expect: plain/plain

import { Worker } from 'node:worker_threads';

const cell = new Int32Array(new SharedArrayBuffer(4));
const text = new Worker(`require('node:worker_threads').workerData[0] += 1;`, { eval: true, workerData: cell });

const module = `import { workerData } from 'node:worker_threads'; workerData[0] += 2;`;
new Worker(new URL(`data:text/javascript,${encodeURIComponent(module)}`), { workerData: cell });
text.unref();
