// A ring of one producer and one consumer: its indices are plain.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function producer(shared) {
  const tail = new Uint32Array(shared, 32, 1);
  const ring = new Int32Array(shared, 64, 8);
  for (let value = 1; value <= 6; value++) {
    ring[value % 8] = value;
    tail[0] = value;
  }
}

function consumer(shared) {
  const head = new Uint32Array(shared, 0, 1);
  const tail = new Uint32Array(shared, 32, 1);
  const ring = new Int32Array(shared, 64, 8);
  let sum = 0;
  for (let tries = 0; tries < 200 && head[0] < 6; tries++) {
    if (tail[0] > head[0]) sum += ring[++head[0] % 8];
  }
  if (sum > 21) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(128);
  for (const role of ['producer', 'consumer']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { producer, consumer };
  roles[workerData.role](workerData.shared);
}
