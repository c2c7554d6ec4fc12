// A buffer that workers find in the environment data: it is written after the worker was created.
// expect: plain/plain

import { getEnvironmentData, isMainThread, setEnvironmentData, Worker } from 'node:worker_threads';

if (isMainThread) {
  const settings = new Int8Array(new SharedArrayBuffer(4));
  setEnvironmentData('corpus settings', settings);
  new Worker(new URL(import.meta.url));
  settings[1] = 1;
} else {
  const settings = getEnvironmentData('corpus settings');
  const [, second] = settings;
  if (second > 1) throw new Error('impossible');
}
