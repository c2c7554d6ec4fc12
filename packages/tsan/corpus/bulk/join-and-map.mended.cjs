// A text that is made of a view's elements: another thread writes one that is not part of it.
// expect: none

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function printer(shared) {
  const words = new Int32Array(shared, 0, 24);
  const text = words
    .subarray(8, 16)
    .map((each) => each * 2)
    .join(' ');
  if (text.length > 20) throw new Error('impossible');
}

function writer(shared) {
  const words = new Int32Array(shared, 0, 24);
  words.subarray(16).with(0, 3);
  words[16] = 1;
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(96);
  for (const role of ['printer', 'writer']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { printer, writer };
  roles[workerData.role](workerData.shared);
}
