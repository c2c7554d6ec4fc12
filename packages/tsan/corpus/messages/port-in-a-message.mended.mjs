// A port that travels inside a message to a worker of its own: it writes before.
// expect: none

import { isMainThread, MessageChannel, parentPort, Worker } from 'node:worker_threads';

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  const { port1, port2 } = new MessageChannel();
  const state = new BigInt64Array(new SharedArrayBuffer(8));
  worker.postMessage({ nested: [new Map([['port', port1]])], state }, [port1]);
  worker.once('message', () => {
    state[0] = -1n;
    port2.postMessage('look');
    port2.close();
  });
} else {
  parentPort.once('message', ({ nested, state }) => {
    nested[0].get('port').once('message', () => {
      if (state[0] > 0n) throw new Error('impossible');
    });
    parentPort.postMessage('listening');
  });
}
