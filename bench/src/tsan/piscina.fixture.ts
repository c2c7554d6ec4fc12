// A pool of two threads that paint a shared picture, a row a task, and count its colours with Atomics: what piscina is used for. Plain about a second.

import { isMainThread } from 'node:worker_threads';
import { Piscina } from 'piscina';

const width = 640;
const rows = 480;

interface Row {
  readonly pixels: Uint8Array;
  readonly counts: Int32Array;
  readonly row: number;
}

/** What a thread of the pool runs: a row of the Mandelbrot set. */
export function paint({ pixels, counts, row }: Row): number {
  const y = row / (rows / 2) - 1;
  let inside = 0;
  for (let column = 0; column < width; column++) {
    const x = column / (width / 3) - 2;
    let [re, im, turns] = [0, 0, 0];
    for (; turns < 255 && re * re + im * im < 4; turns++) [re, im] = [re * re - im * im + x, 2 * re * im + y];
    pixels[row * width + column] = turns;
    if (turns === 255) inside++;
  }
  for (let column = 0; column < width; column++) Atomics.add(counts, pixels[row * width + column]!, 1);
  return inside;
}

if (isMainThread) {
  const pool = new Piscina<Row, number>({ filename: import.meta.url, name: 'paint', minThreads: 2, maxThreads: 2 });
  const counts = new Int32Array(new SharedArrayBuffer(256 * 4));
  let inside = 0;
  for (let picture = 0; picture < 8; picture++) {
    const pixels = new Uint8Array(new SharedArrayBuffer(width * rows));
    const tasks = Array.from({ length: rows }, (_, row) => pool.run({ pixels, counts, row }));
    for (const task of tasks) inside += await task;
  }
  await pool.destroy();
  if (counts[255] !== inside) throw new Error(`${counts[255]} pixels of ${inside} were counted`);
}
