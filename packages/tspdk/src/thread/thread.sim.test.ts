// Random thread programs, a thousand of them (TSPDK_SEEDS for another number); a failing seed is printed and replays with threadProgram(seed).
import { test } from 'node:test';
import { threadProgram } from './thread.sim.ts';

const SEEDS = Number(process.env.TSPDK_SEEDS ?? 1000);

test(`${SEEDS} random programs over threads, pollers, messages, channels and iterations`, () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      threadProgram(seed);
    } catch (error) {
      throw new Error(`threadProgram(${seed}) failed`, { cause: error });
    }
  }
});
