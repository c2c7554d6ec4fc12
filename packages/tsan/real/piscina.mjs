// Piscina: 40 tasks on two threads, each leaving its result in a cell of shared memory that this thread reads when the task is done.

import { isMainThread } from 'node:worker_threads';
import { Piscina } from 'piscina';

/** What a thread of the pool runs. */
export const task = ({ cells, at }) => {
  cells[at] = at * at;
  return at;
};

if (isMainThread) {
  const pool = new Piscina({ filename: import.meta.url, name: 'task', minThreads: 2, maxThreads: 2 });
  const cells = new Float64Array(new SharedArrayBuffer(40 * 8));
  const runs = Array.from(cells, (_, at) => pool.run({ cells, at }));
  for (const run of runs) {
    const at = await run;
    if (cells[at] !== at * at) throw new Error(`cell ${at} has ${cells[at]}`);
  }
  await pool.destroy();
}
