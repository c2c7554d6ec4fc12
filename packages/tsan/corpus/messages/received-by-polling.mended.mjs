// A port that is polled with receiveMessageOnPort: the reader polls until there is one.
// expect: none

import { isMainThread, MessageChannel, receiveMessageOnPort, Worker, workerData } from 'node:worker_threads';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

if (isMainThread) {
  const { port1, port2 } = new MessageChannel();
  const shared = new SharedArrayBuffer(64);
  new Worker(new URL(import.meta.url), { workerData: { shared, port: port1 }, transferList: [port1] });
  const go = new Int32Array(shared, 0, 1);
  const data = new Float64Array(shared, 8, 1);
  set(go, 0);
  while (receiveMessageOnPort(port2) === undefined);
  if (data[0] > 0.5) throw new Error('impossible');
  port2.close();
} else {
  const { shared, port } = workerData;
  sleepUntilSet(new Int32Array(shared, 0, 1), 0);
  new Float64Array(shared, 8, 1)[0] = 0.5;
  port.postMessage(0);
  port.close();
}
