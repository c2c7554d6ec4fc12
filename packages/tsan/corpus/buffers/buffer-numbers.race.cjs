// Numbers in a Buffer: two of them overlap.
// expect: plain/plain may-tear

const { Worker } = require('node:worker_threads');

function writer(shared) {
  const buffer = Buffer.from(shared, 4, 16);
  buffer.writeUInt32LE(70000, 2);
}

function reader(shared) {
  const buffer = Buffer.from(shared, 4, 16);
  if (buffer.readUInt16BE(5) > 65535) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
