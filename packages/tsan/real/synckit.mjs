// synckit: an asynchronous function that is called as a synchronous one, which blocks this thread on an Atomics.wait; its argument is shared memory.

import { isMainThread } from 'node:worker_threads';
import { createSyncFn, runAsWorker } from 'synckit';

if (isMainThread) {
  const raise = createSyncFn(new URL(import.meta.url));
  const words = new Int32Array(new SharedArrayBuffer(16));
  for (let round = 1; round <= 20; round++) {
    words[1] = round;
    const answer = raise(words);
    if (answer !== round || words[2] !== round * 2) throw new Error(`round ${round}: ${answer}, ${words}`);
  }
  process.exit();
} else {
  runAsWorker(async (words) => {
    await null;
    words[2] = words[1] * 2;
    return words[1];
  });
}
