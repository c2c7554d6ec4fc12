// @bnaya/objectbuffer: two workers raise numbers of one object in shared memory, under the lock that the package has for this.

import { TextDecoder, TextEncoder } from 'node:util';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import objectbuffer from '@bnaya/objectbuffer';

const { acquireLock, acquireLockWait, createObjectBuffer, getUnderlyingArrayBuffer, loadObjectBuffer, releaseLock } =
  objectbuffer;
const tools = { textEncoder: new TextEncoder(), textDecoder: new TextDecoder() };
const rounds = 20;

if (isMainThread) {
  const object = createObjectBuffer(tools, 4096, { total: 0, byWorker: [0, 0] }, { useSharedArrayBuffer: true });
  const memory = getUnderlyingArrayBuffer(object);
  const workers = [1, 2].map((me) => new Worker(new URL(import.meta.url), { workerData: { me, memory } }));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
  if (object.total !== 2 * rounds || object.byWorker[0] !== rounds) throw new Error(JSON.stringify(object));
} else {
  const { me, memory } = workerData;
  const object = loadObjectBuffer(tools, memory);
  for (let round = 0; round < rounds; round++) {
    while (!acquireLock(me, object) && acquireLockWait(me, object) !== 'have-lock');
    object.total = object.total + 1;
    object.byWorker[me - 1] = round + 1;
    releaseLock(me, object);
  }
}
