// Threads that wait without a limit. The argument says whether one is left that wakes them, and how.

import { isMainThread, threadId, Worker, workerData } from 'node:worker_threads';
import { install } from './install.ts';

install();
const kind = process.argv[2]!;
const turns = new Int32Array(
  isMainThread ? new SharedArrayBuffer(16) : (workerData as { shared: SharedArrayBuffer }).shared,
);

function wake(index: number): void {
  Atomics.store(turns, index, 1);
  Atomics.notify(turns, index);
}

if (isMainThread) {
  for (let count = kind === 'rounds' ? 2 : 1; count > 0; count--) {
    new Worker(new URL(import.meta.url), { workerData: { shared: turns.buffer }, argv: [kind] });
  }
  if (kind !== 'rounds') Atomics.wait(turns, 0, 0);
  if (kind === 'nobody') wake(1);
} else if (kind === 'nobody') Atomics.wait(turns, 1, 0);
else if (kind === 'exit-listener') process.on('exit', () => wake(0));
else if (kind === 'late') setTimeout(wake, 2500, 0);
else if (kind === 'rounds') {
  // Two that wait for each other all the time: one of them is always on its way.
  const mine = threadId % 2;
  const theirs = 1 - mine;
  for (let round = 0; round < 2000; round++) {
    if (mine === 0) wake(mine);
    while (Atomics.load(turns, theirs) === 0) Atomics.wait(turns, theirs, 0);
    Atomics.store(turns, theirs, 0);
    if (mine === 1) wake(mine);
  }
}
