// Random thread programs, a thousand of them (TSPDK_SEEDS for others); a failing seed is printed and replays with TSPDK_SEED. What is wrong throws: threadProgram has the assertions.
import { test } from 'node:test';
import { seedRange } from '../sim/for-each-seed.ts';
import { threadProgram } from './thread.sim.ts';

const [first, last] = seedRange(1000);

test(`${last - first + 1} random programs over threads, pollers, messages, channels and iterations`, () => {
  for (let seed = first; seed <= last; seed++) {
    try {
      threadProgram(seed);
    } catch (error) {
      throw new Error(`threadProgram(${seed}) failed`, { cause: error });
    }
  }
});
