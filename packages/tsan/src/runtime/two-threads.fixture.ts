// Two threads and one shared Int32Array, rewritten by hand as the rewriter does it. The first argument says how the second thread is told.

import { once } from 'node:events';
import { Worker, workerData } from 'node:worker_threads';
import type { Jstsan } from './inert.ts';
import { install } from './install.ts';

install();
const __jstsan = (globalThis as unknown as { __jstsan: Jstsan }).__jstsan;
type Tagged = Int32Array & { [key: symbol]: never };

function put(view: Int32Array, index: number, value: number, site: number): void {
  const info = (view as Tagged)[__jstsan.S]!;
  if (info !== undefined) __jstsan.w(info, view, index, site);
  view[index] = value;
}

const kind = process.argv[2]!;
if (kind === 'replaced') {
  for (const name of Object.getOwnPropertyNames(Atomics)) {
    const value = (): never => {
      throw new Error(`the program's own Atomics.${name} was called`);
    };
    Object.defineProperty(Atomics, name, { value });
  }
}
if (workerData === null || workerData === undefined) await main();
else work(workerData as { shared: Int32Array });

async function main(): Promise<void> {
  const shared = new Int32Array(new SharedArrayBuffer(16));
  put(shared, 1, 1, 1001);
  const worker = new Worker(new URL(import.meta.url), { workerData: { shared }, argv: [kind] });
  if (kind === 'race' || kind === 'replaced') {
    put(shared, 1, 2, 1002);
    await once(worker, 'exit');
  } else if (kind === 'exit') {
    await once(worker, 'exit');
    put(shared, 1, 2, 1002);
  } else if (kind === 'message') {
    await once(worker, 'message');
    put(shared, 1, 2, 1002);
    await once(worker, 'exit');
  } else {
    while (Atomics.load(shared, 0) === 0) Atomics.wait(shared, 0, 0, 10);
    put(shared, 1, 2, 1002);
    await once(worker, 'exit');
  }
}

async function work({ shared }: { shared: Int32Array }): Promise<void> {
  put(shared, 1, 3, 1003);
  if (kind === 'atomics') {
    Atomics.store(shared, 0, 1);
    Atomics.notify(shared, 0);
  }
  if (kind === 'message') {
    const { parentPort } = await import('node:worker_threads');
    parentPort!.postMessage('done');
  }
}
