// Runs drivers on many mutants in one process of two threads, under the sanitizer: most of the time of a run is the start of both. Every mutant is a file of its
// own, and every driver is loaded anew for each, so no report is taken for one that was made before. Says on stderr where a mutant begins and how it
// ended; the sanitizer's reports stand between the two. Arguments: a file with `[{ id, driver }]`, driver being an address.

import { readFileSync, writeSync } from 'node:fs';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const failure = (error) => `${error?.message ?? error}`.split('\n')[0];

async function attempt(act) {
  try {
    await act();
    return '';
  } catch (error) {
    return failure(error);
  }
}

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  const answer = () => new Promise((resolve) => worker.once('message', resolve));
  for (const { id, driver } of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
    writeSync(2, `\n@@ begin ${id}\n`);
    const failed = await attempt(async () => {
      const { make, run } = await import(driver);
      const shared = await make();
      worker.postMessage({ driver, shared });
      const ready = await answer();
      if (ready !== '') throw new Error(ready);
      const other = answer();
      worker.postMessage('run');
      const own = await attempt(() => run(0, shared));
      const theirs = await other;
      if (own !== '' || theirs !== '') throw new Error(own || theirs);
    });
    writeSync(2, `\n@@ end ${id} ${failed}\n`);
  }
  await worker.terminate();
} else {
  let next;
  parentPort.on('message', async (message) => {
    if (message !== 'run') {
      const failed = await attempt(async () => {
        const { run } = await import(message.driver);
        next = () => run(1, message.shared);
      });
      parentPort.postMessage(failed);
    } else parentPort.postMessage(await attempt(next));
  });
}
