// A bounded queue with a sequence number in each cell: the number is advanced atomically.
// expect: none

const { Worker } = require('node:worker_threads');

function push(ends, turns, cells, value) {
  for (;;) {
    const at = Atomics.load(ends, 0);
    if (Atomics.load(turns, at % 4) !== at) continue;
    if (Atomics.compareExchange(ends, 0, at, at + 1) !== at) continue;
    cells[at % 4] = value;
    Atomics.store(turns, at % 4, at + 1);
    return;
  }
}

function pop(ends, turns, cells) {
  for (;;) {
    const at = Atomics.load(ends, 1);
    if (Atomics.load(turns, at % 4) !== at + 1) continue;
    if (Atomics.compareExchange(ends, 1, at, at + 1) !== at) continue;
    const value = cells[at % 4];
    Atomics.store(turns, at % 4, at + 4);
    return value;
  }
}

function producer(shared) {
  const ends = new Int32Array(shared, 0, 2);
  const turns = new Int32Array(shared, 64, 4);
  const cells = new Int32Array(shared, 128, 4);
  for (let value = 0; value < 12; value++) push(ends, turns, cells, value);
}

function consumer(shared) {
  const ends = new Int32Array(shared, 0, 2);
  const turns = new Int32Array(shared, 64, 4);
  const cells = new Int32Array(shared, 128, 4);
  for (let count = 0; count < 6; count++) pop(ends, turns, cells);
}

function other(shared) {
  const ends = new Int32Array(shared, 0, 2);
  const turns = new Int32Array(shared, 64, 4);
  const cells = new Int32Array(shared, 128, 4);
  for (let count = 0; count < 6; count++) pop(ends, turns, cells);
}

const shared = new SharedArrayBuffer(256);
new Int32Array(shared, 64, 4).set([0, 1, 2, 3]);
for (const role of [producer, consumer, other]) {
  const source = `${push}\n${pop}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
