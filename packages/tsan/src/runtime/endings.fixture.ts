// A worker that is told to end, or ends by itself, while its creator is too busy to be told: prints the state of its slot.

import { once } from 'node:events';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { Slot } from './control.ts';
import { install } from './install.ts';

const { control } = install()!;

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  await once(worker, 'message');
  if (process.argv[2] === 'terminated') void worker.terminate();
  else worker.postMessage('exit');
  const state = () => Object.keys(Slot)[Atomics.load(control.slots, 4 + 1)]!;
  const limit = performance.now() + 20_000;
  while (state() === 'live' && performance.now() < limit);
  console.log(state());
} else {
  parentPort!.on('message', () => process.exit());
  parentPort!.postMessage('ready');
}
