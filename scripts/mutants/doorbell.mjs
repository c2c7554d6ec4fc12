// Driver: the doorbell without native calls. One thread sleeps in its event loop until the other rings; each ring follows an answer.
import assert from 'node:assert/strict';
import { kitOf, limitMs } from './two.mjs';

const kit = kitOf(import.meta.url);
const { openDoorbell, ringDoorbell } = await kit('env/doorbell.js');
const rings = 10;
let bell;

export const make = () => {
  bell = openDoorbell({ native: false });
  const words = () => new Int32Array(new SharedArrayBuffer(4));
  return { target: bell.target, mail: words(), answer: words() };
};

export const run = async (core, { target, mail, answer }) => {
  const last = performance.now() + limitMs;
  /** Only a ring makes core 0 look. */
  const reaches = async (word, n) => {
    while (Atomics.load(word, 0) < n) {
      await new Promise((resolve) => setImmediate(resolve));
      assert(performance.now() < last, 'waited in vain');
    }
  };
  for (let n = 1; n <= rings; n++) {
    if (core === 1) {
      Atomics.add(mail, 0, 1);
      ringDoorbell(target);
      await reaches(answer, n);
    } else {
      await reaches(mail, n);
      for (; bell.wakes === 0; await new Promise((resolve) => setImmediate(resolve))) assert(performance.now() < last);
      Atomics.store(answer, 0, n);
    }
  }
  bell?.close();
};
