// Tinypool: rounds of tasks on two threads, in which each task reads what the tasks of the round before have written.

import { isMainThread } from 'node:worker_threads';
import { Tinypool } from 'tinypool';

/** What a thread of the pool runs. */
export const step = ({ from, to, at }) => {
  to[at] = from[at] + from[(at + 1) % from.length];
};

if (isMainThread) {
  const pool = new Tinypool({ filename: import.meta.url, name: 'step', minThreads: 2, maxThreads: 2 });
  let [from, to] = [0, 1].map(() => new Int32Array(new SharedArrayBuffer(32)));
  from.fill(1);
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from(from, (_, at) => pool.run({ from, to, at })));
    [from, to] = [to, from];
  }
  if (from.some((value) => value !== 32)) throw new Error(`${from}`);
  await pool.destroy();
}
