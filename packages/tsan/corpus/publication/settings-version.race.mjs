// Settings with a version beside them: they are changed in place under the old version.
// expect: plain/plain

import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

if (isMainThread) {
  const version = new Int32Array(new SharedArrayBuffer(4));
  const settings = [1, 2].map(() => new Uint8Array(new SharedArrayBuffer(8)));
  const worker = new Worker(new URL(import.meta.url), { workerData: { version, settings } });
  await once(worker, 'message');
  settings[0].set([1, 2, 3]);
  set(version, 0);
} else {
  const { version, settings } = workerData;
  const before = settings[0].join();
  parentPort.postMessage('reading');
  const again = settings[0].join();
  sleepUntilSet(version, 0);
  const after = settings[1].join();
  if (before === '9' || again === '9' || after === '9') throw new Error('impossible');
}
