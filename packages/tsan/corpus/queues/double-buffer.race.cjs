// A frame is drawn in the back while the front is shown: a second frame is drawn without asking whether the front is still read.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function writer(shared) {
  const front = new Int32Array(shared, 0, 1);
  const frames = [new Uint8Array(shared, 64, 16), new Uint8Array(shared, 80, 16)];
  frames[1].fill(1);
  set(front, 0);

  frames[0].fill(2);
  frames[1].fill(3);
}

function reader(shared) {
  const front = new Int32Array(shared, 0, 1);
  const shown = new Int32Array(shared, 8, 1);
  const frames = [new Uint8Array(shared, 64, 16), new Uint8Array(shared, 80, 16)];
  sleepUntilSet(front, 0);
  let sum = 0;
  for (const pixel of frames[1]) sum += pixel;
  if (sum > 48) throw new Error('impossible');
  set(shown, 0);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  for (const role of ['writer', 'reader']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { writer, reader };
  roles[workerData.role](workerData.shared);
}
