// What the machine itself takes to bring a word from one core to the other: the floor under every figure of events between cores, and on virtual machines it
// differs by a factor of five from one day to the next. Two pinned threads pass a number to and fro, with Atomics and nothing else.

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { allowedCores, pinThread } from 'tspdk';

const hops = 400_000;

/** Nanoseconds one way. */
export async function hopNs(cores: readonly number[]): Promise<number> {
  const words = new Int32Array(new SharedArrayBuffer(256));
  const worker = new Worker(new URL(import.meta.url), { workerData: { words, core: cores[1] } });
  const before = allowedCores();
  pinThread([cores[0]]);
  try {
    // The other thread says that it is there.
    while (Atomics.load(words, 32) === 0) await new Promise((resolve) => setImmediate(resolve));
    pass(words, 0, hops / 4);
    const started = performance.now();
    pass(words, hops / 4, hops);
    return ((performance.now() - started) * 1e6) / (2 * (hops - hops / 4));
  } finally {
    pinThread(before);
    await worker.terminate();
  }
}

/** Sends the odd numbers and waits for the even ones. */
function pass(words: Int32Array, from: number, to: number): void {
  for (let i = from; i < to; i++) {
    Atomics.store(words, 0, 2 * i + 1);
    while (Atomics.load(words, 0) !== 2 * i + 2);
  }
}

if (!isMainThread && workerData?.words instanceof Int32Array) {
  const { words, core } = workerData as { words: Int32Array; core: number };
  pinThread([core]);
  Atomics.store(words, 32, 1);
  for (let i = 0; i < hops; i++) {
    while (Atomics.load(words, 0) !== 2 * i + 1);
    Atomics.store(words, 0, 2 * i + 2);
  }
}
