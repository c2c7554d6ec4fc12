// Four workers that add to a sum each: they add to a cell each, and the parent adds those up when all have ended.
// expect: none

import { once } from 'node:events';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const cells = new Float64Array(new SharedArrayBuffer(32));
  const workers = [0, 1, 2, 3].map((at) => new Worker(new URL(import.meta.url), { workerData: { cells, at } }));
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  const sum = cells.reduce((total, each) => total + each, 0);
  if (sum > 6) throw new Error('impossible');
} else {
  const { cells, at } = workerData;
  cells[at] += at;
}
