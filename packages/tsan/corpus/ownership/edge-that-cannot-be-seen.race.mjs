// Two threads that are ordered by a file, and say so: the file is made before the word is written.
// expect: plain/plain

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { acquire, release } from '@tspdk/tsan';

const name = (shared) => `${process.env.TMPDIR ?? '/tmp'}/jstsan-corpus-${process.pid}-${shared.byteLength}`;
if (isMainThread) {
  const shared = new SharedArrayBuffer(24);
  const worker = new Worker(new URL(import.meta.url), { workerData: shared });
  const word = new Int32Array(shared, 8, 1);
  release(word);
  writeFileSync(name(shared), '');
  word[0] = 6;
  worker.once('exit', () => rmSync(name(shared)));
} else {
  while (!existsSync(name(workerData)));
  const word = new Int32Array(workerData, 8, 1);
  acquire(word);
  if (word[0] > 6) throw new Error('impossible');
}
