// Runs of `tspdk perf`, as the benchmarks of the block layer need them.

import { cli, runClient } from './processes.ts';

export const seconds = 2;
export const blockBytes = 4096;
export const depth = 32;

/** What `tspdk perf --json-output` prints, as far as it is looked at here. */
export interface Perf {
  readonly total: { readonly iops: number; readonly io_completed: number };
}

/** One run of `tspdk perf` on `on`; its figures. */
export async function perf(on: readonly number[], ...args: string[]): Promise<Perf['total']> {
  const flags = ['-m', `[${on.join(',')}]`, '-q', String(depth), '-o', String(blockBytes), '-t', String(seconds)];
  const out = await runClient([process.execPath, cli, 'perf', ...flags, '--json-output', ...args]);
  return (JSON.parse(out) as Perf).total;
}
