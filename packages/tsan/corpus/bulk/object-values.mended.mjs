// All elements taken at once, as values, as entries, by assignment and as JSON, before a worker that writes to them begins.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

const takes = [Object.values, Object.entries, (view) => Object.assign({}, view), JSON.stringify];

if (isMainThread) {
  const views = takes.map(() => new Int32Array(new SharedArrayBuffer(32)));
  for (const [index, view] of views.entries()) takes[index](view);
  new Worker(new URL(import.meta.url), { workerData: views });
} else {
  for (const view of workerData) view[7] = 1;
}
