/**
 * A head start for the other cores: their threads load the target while the main thread still does. From exec to the first answer with two
 * reactors that is a fifth less.
 */
import { allowedCores } from '../env/affinity.ts';
import { limits } from '../env/limits.ts';
import { type AppArgs, type FlagSpec, parseAppArgs } from '../event/app-args.ts';
import { startEarlyWorker } from '../event/early-workers.ts';

const TARGET = new URL('./target.js', import.meta.url).href;

/** Cores of `npm start` when nobody names any. */
export function exampleCores(): number[] {
  return allowedCores().slice(0, 2);
}

/** Begins the threads of all cores but the main one. `argv` is a program's arguments, `flags` its own; what is wrong with them the program will say. */
export function startEarly(argv: readonly string[], flags: readonly FlagSpec[], otherwise: () => number[]): void {
  let args: AppArgs;
  try {
    args = parseAppArgs(argv, flags);
  } catch {
    return;
  }
  if (args.help || args.version) return;
  const cores = args.cores ?? otherwise();
  if (cores.length > limits.reactors_max) return;
  const mainCore = args.mainCore ?? cores[0];
  for (const core of cores) if (core !== mainCore) startEarlyWorker(core, [TARGET]);
}
