// Two workers with a channel between them: it writes before it posts.
// expect: none

import { isMainThread, MessageChannel, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const { port1, port2 } = new MessageChannel();
  const shared = new SharedArrayBuffer(8);
  const start = (role, port) =>
    new Worker(new URL(import.meta.url), { workerData: { role, port, shared }, transferList: [port] });
  start('writer', port1);
  start('reader', port2);
} else {
  const { role, port, shared } = workerData;
  const word = new Uint32Array(shared, 4, 1);
  if (role === 'writer') {
    word[0] = 9;
    port.postMessage('written');
    port.close();
  } else {
    port.once('message', () => {
      if (word[0] > 9) throw new Error('impossible');
    });
  }
}
