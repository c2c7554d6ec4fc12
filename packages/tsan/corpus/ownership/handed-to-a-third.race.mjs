// A block that is handed to one of two threads: the other one takes it.
// expect: ownership

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { region } from '@tspdk/tsan';

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  const workers = [0, 1].map(() => new Worker(new URL(import.meta.url), { workerData: shared }));
  const jobs = region('transferable', 'jobs');
  jobs.alloc(shared, 40, 8);
  new Uint32Array(shared, 40, 2)[1] = 77;
  jobs.handoff(shared, 40, workers[0].threadId);
  workers[1].postMessage('take');
  workers[0].postMessage('end');
} else {
  parentPort.once('message', (text) => {
    if (text === 'take' && new Uint32Array(workerData, 40, 2)[1] !== 77) throw new Error('not seen');
  });
}
