// Pixels of an image: a pixel is read while it is written.
// expect: may-tear plain/plain

const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const pixels = new Uint8ClampedArray(new SharedArrayBuffer(12));
  const worker = new Worker(__filename, { workerData: { pixels } });
  worker.on('message', (done) => {
    if (!done && pixels[4] > 255) throw new Error('impossible');
  });
} else {
  parentPort.postMessage(false);
  for (let at = 0; at < 12; at++) workerData.pixels[at] = at * 100;
  parentPort.postMessage(true);
}
