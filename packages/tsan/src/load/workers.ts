// Workers load the sanitizer before the program, whatever the program says about their arguments. Three ways lead there: arguments are
// inherited; a list of its own loses the preload, so it is put back; and Node runs no `--import` before `eval: true`, so the
// text itself begins by requiring it.

import { fileURLToPath } from 'node:url';
import type { WorkerOptions } from 'node:worker_threads';
import type { Transformer } from './transformer.ts';

const register = new URL('../register.js', import.meta.url);

/** How a program's worker is to be made instead. */
export function preloadIntoWorker(
  transformer: Transformer,
  filename: string | URL,
  options: WorkerOptions,
): [string | URL, WorkerOptions] {
  if (options.eval === true) return [evalText(transformer, String(filename)), options];
  const inherited = process.execArgv.includes(register.href) && !options.execArgv;
  if (inherited) return [filename, options];
  const execArgv = [...(options.execArgv ?? process.execArgv), '--import', register.href];
  return [filename, { ...options, execArgv }];
}

function evalText(transformer: Transformer, source: string): string {
  const preamble = `require(${JSON.stringify(fileURLToPath(register))});`;
  return transformer.transform('[worker eval]', source, 'script', preamble);
}
