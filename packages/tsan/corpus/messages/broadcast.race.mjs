// A word that is announced on a BroadcastChannel: it is written after the announcement.
// expect: plain/plain

import { BroadcastChannel, isMainThread, Worker, workerData } from 'node:worker_threads';

const channel = new BroadcastChannel('corpus/broadcast');
if (isMainThread) {
  const word = new Int16Array(new SharedArrayBuffer(2));
  let ready = 0;
  channel.onmessage = () => {
    if (++ready < 2) return;
    channel.postMessage('written');
    word[0] = 3;
    channel.close();
  };
  for (let count = 0; count < 2; count++) new Worker(new URL(import.meta.url), { workerData: word });
} else {
  channel.onmessage = ({ data }) => {
    if (data !== 'written') return;
    if (workerData[0] > 3) throw new Error('impossible');
    channel.close();
  };
  channel.postMessage('ready');
}
