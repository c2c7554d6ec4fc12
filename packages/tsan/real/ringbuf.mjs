// ringbuf.js: a worker sends 2000 numbers through a ring of 64, by each of its ways to write; this thread adds them up.
// The first argument is another copy of the package to take.

import { isMainThread, Worker, workerData } from 'node:worker_threads';

const name = isMainThread ? (process.argv[2] ?? 'ringbuf.js') : workerData.name;
const { RingBuffer } = await import(name);
const last = 2000;

if (isMainThread) {
  const storage = RingBuffer.getStorageForCapacity(63, Uint32Array);
  new Worker(new URL(import.meta.url), { workerData: { name, storage } });
  const ring = new RingBuffer(storage, Uint32Array);
  const values = new Uint32Array(16);
  let sum = 0;
  for (let taken = 0; taken < last; ) {
    const count = ring.empty() ? 0 : ring.pop(values);
    for (let at = 0; at < count; at++) sum += values[at];
    taken += count;
  }
  if (sum !== (last * (last + 1)) / 2) throw new Error(`the numbers add up to ${sum}`);
} else {
  send(new RingBuffer(workerData.storage, Uint32Array));
}

function send(ring) {
  const writers = [
    (value) => ring.push(Uint32Array.of(value)),
    (value) => ring.writeCallback(1, (first, second) => fill([first, second], value)),
    (value) => ring.writeCallbackWithOffset(1, (array, at) => fill([array.subarray(at, at + 1)], value)),
  ];
  for (let value = 1; value <= last; value++) while (writers[value % 3](value) === 0);
}

function fill(parts, value) {
  const part = parts.find(({ length }) => length > 0);
  part[0] = value;
  return 1;
}
