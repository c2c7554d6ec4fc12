// A message that a worker in the middle relays: it writes its part first.
// expect: none

import { isMainThread, MessageChannel, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const shared = new SharedArrayBuffer(16);
  const { port1, port2 } = new MessageChannel();
  const middle = new Worker(new URL(import.meta.url), {
    workerData: { role: 'middle', port: port1 },
    transferList: [port1],
  });
  new Worker(new URL(import.meta.url), { workerData: { role: 'last', port: port2 }, transferList: [port2] });
  new Int32Array(shared)[0] = 1;
  middle.postMessage(shared);
} else if (workerData.role === 'middle') {
  parentPort.once('message', (shared) => {
    const words = new Int32Array(shared);
    words[1] = words[0] + 1;
    workerData.port.postMessage(shared);
    workerData.port.close();
  });
} else {
  workerData.port.once('message', (shared) => {
    const words = new Int32Array(shared);
    if (words[0] + words[1] > 3) throw new Error('impossible');
  });
}
