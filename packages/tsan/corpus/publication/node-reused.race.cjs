// A node that readers find through an atomic word: the writer changes the node in place.
// expect: plain/plain may-tear

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function meet(counters, at, threads) {
  Atomics.add(counters, at, 1);
  while (Atomics.load(counters, at) < threads);
}

function updater(shared) {
  const current = new Int32Array(shared, 0, 1);
  const met = new Int32Array(shared, 4, 1);
  const nodes = new Float64Array(shared, 16, 400);
  meet(met, 0, 2);
  for (let version = 1; version < 100; version++) {
    const node = 0;
    nodes[node] = version;
    nodes[node + 1] = -version;
    Atomics.store(current, 0, node);
  }
}

function reader(shared) {
  const current = new Int32Array(shared, 0, 1);
  const met = new Int32Array(shared, 4, 1);
  const nodes = new Float64Array(shared, 16, 400);
  meet(met, 0, 2);
  for (let round = 0; round < 100; round++) {
    const node = Atomics.load(current, 0);
    if (nodes[node] + nodes[node + 1] > 100) throw new Error('impossible');
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(4096);
  for (const role of ['updater', 'reader']) new Worker(__filename, { workerData: { shared, role } });
} else {
  const roles = { updater, reader };
  roles[workerData.role](workerData.shared);
}
