// All elements taken at once, as values, as entries, by assignment and as JSON: a worker writes the last of them.
// expect: plain/plain may-tear

import { isMainThread, Worker, workerData } from 'node:worker_threads';

const takes = [Object.values, Object.entries, (view) => Object.assign({}, view), JSON.stringify];

if (isMainThread) {
  const views = takes.map(() => new Int32Array(new SharedArrayBuffer(32)));
  new Worker(new URL(import.meta.url), { workerData: views });
  for (const [index, view] of views.entries()) takes[index](view);
} else {
  for (const view of workerData) view[7] = 1;
}
