// Shared bytes that are decoded to a text: they are decoded before the flag is seen.
// expect: plain/plain may-tear

const { Worker } = require('node:worker_threads');

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

function decoder(shared) {
  const bytes = new Uint8Array(shared, 8, 8);
  const flag = new Int32Array(shared, 0, 1);
  const text = new TextDecoder().decode(bytes);
  sleepUntilSet(flag, 0);
  if (text.length > 8) throw new Error('impossible');
}

function writer(shared) {
  const bytes = new Uint8Array(shared, 8, 8);
  const flag = new Int32Array(shared, 0, 1);
  bytes.fill(0x41);
  set(flag, 0);
}

const shared = new SharedArrayBuffer(64);
for (const role of [decoder, writer]) {
  const source = `${sleepUntilSet}\n${set}\n(${role})(require('node:worker_threads').workerData);`;
  new Worker(source, { eval: true, workerData: shared });
}
