// Items that are published in batches: the count is plain.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function producer(shared) {
  const count = new Uint32Array(shared, 0, 1);
  const items = new Int16Array(shared, 64, 32);
  for (let batch = 0; batch < 4; batch++) {
    for (let at = batch * 8; at < batch * 8 + 8; at++) items[at] = at;
    count[0] += 8;
  }
}

function consumer(shared) {
  const count = new Uint32Array(shared, 0, 1);
  const items = new Int16Array(shared, 64, 32);
  let sum = 0;
  for (let taken = 0, tries = 0; taken < 32 && tries < 500; tries++) {
    const published = count[0];
    for (; taken < published; taken++) sum += items[taken];
  }
  if (sum > 496) throw new Error('impossible');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  for (const role of ['producer', 'consumer']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { producer, consumer };
  roles[workerData.role](workerData.shared);
}
