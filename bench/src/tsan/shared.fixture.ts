// What checking costs where memory is shared. The first argument names the figure; what is printed is a number.

import { once } from 'node:events';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const elements = 4096;

/** The loop of gcc.ts: one write and one read a turn. */
function accesses(view: Int32Array): number {
  let sum = 0;
  for (let at = 0; at < elements; at++) {
    view[at] = sum;
    sum = (sum + view[elements - 1 - at]!) | 0;
  }
  return sum;
}

function atomics(view: Int32Array, at: number, count: number): void {
  for (let turn = 0; turn < count; turn++) Atomics.store(view, at, Atomics.load(view, at) + 1);
}

/** The best of seven, in ns. */
function best(count: number, act: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 7; round++) {
    const start = performance.now();
    act();
    least = Math.min(least, ((performance.now() - start) * 1e6) / count);
  }
  return least;
}

async function start(view: Int32Array, kind: string): Promise<Worker> {
  const worker = new Worker(new URL(import.meta.url), { workerData: view, argv: [kind] });
  await once(worker, 'message');
  return worker;
}

const kind = process.argv[2]!;
const figures: Record<string, () => Promise<number>> = {
  async access() {
    const view = new Int32Array(new SharedArrayBuffer(elements * 4));
    await start(view, 'idle');
    for (let turn = 0; turn < 500; turn++) accesses(view);
    return best(200 * elements * 2, () => {
      for (let turn = 0; turn < 200; turn++) accesses(view);
    });
  },
  /** Two threads that share one word, with two operations a turn: most of it is waiting for the other's cache line. */
  async contended() {
    const view = new Int32Array(new SharedArrayBuffer(1024));
    await start(view, 'contended');
    atomics(view, 0, 100_000);
    return best(400_000, () => atomics(view, 0, 200_000));
  },
  /** Two threads, each on a word of its own; two operations a turn. */
  async atomics() {
    const view = new Int32Array(new SharedArrayBuffer(1024));
    await start(view, 'atomics');
    atomics(view, 0, 100_000);
    return best(400_000, () => atomics(view, 0, 200_000));
  },
  /** Bytes of memory for a shared byte that both threads have read. */
  async memory() {
    const bytes = 64 << 20;
    const view = new Int32Array(new SharedArrayBuffer(bytes));
    view.fill(1);
    const worker = await start(view, 'idle');
    const before = process.memoryUsage.rss();
    for (let at = 0; at < view.length; at++) view[at] = at;
    const ended = once(worker, 'exit');
    await worker.terminate();
    await ended;
    return (process.memoryUsage.rss() - before) / bytes;
  },
  /** MB of memory for a thread that does nothing. */
  async threads() {
    const view = new Int32Array(new SharedArrayBuffer(64));
    // The first one pays for what all of them use.
    await start(view, 'idle');
    const before = process.memoryUsage.rss();
    const count = 12;
    for (let at = 0; at < count; at++) await start(view, 'idle');
    return (process.memoryUsage.rss() - before) / count / 2 ** 20;
  },
};

if (isMainThread) {
  console.log((await figures[kind]!()).toFixed(2));
  process.exit();
} else {
  const { parentPort } = await import('node:worker_threads');
  const view = workerData as Int32Array;
  parentPort!.postMessage('ready');
  if (kind === 'contended') for (;;) atomics(view, 0, 1000);
  if (kind === 'atomics') for (;;) atomics(view, 128, 1000);
  parentPort!.on('message', () => {});
}
