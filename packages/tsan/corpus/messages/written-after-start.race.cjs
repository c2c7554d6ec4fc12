// A worker that gets its input as workerData: the input is written after the worker was created.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const input = new Uint16Array(new SharedArrayBuffer(128), 64, 4);
  new Worker(__filename, { workerData: [input] });
  input[2] = 500;
} else {
  const [input] = workerData;
  let largest = 0;
  for (let at = 0; at < input.length; at++) largest = Math.max(largest, input[at]);
  if (largest > 500) throw new Error('impossible');
}
