// Bytes that are being compressed: a worker is told too early that it may change them, and is done before the compression is.
// expect: plain/plain may-tear

import { once } from 'node:events';
import { promisify } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { deflate } from 'node:zlib';

if (isMainThread) {
  const bytes = new Uint8Array(new SharedArrayBuffer(1 << 22));
  for (let at = 0; at < bytes.length; at += 64) bytes[at] = (at * 7919) >> 7;
  const worker = new Worker(new URL(import.meta.url), { workerData: bytes });
  await once(worker, 'message');
  const compressing = promisify(deflate)(bytes, { level: 9 });
  worker.postMessage('change them');
  await once(worker, 'message');
  await compressing;
} else {
  parentPort.once('message', () => {
    workerData[1 << 21] = 1;
    parentPort.postMessage('changed');
  });
  parentPort.postMessage('ready');
}
