// Workers load the sanitizer before the program, whatever the program says about their arguments. Three ways lead there: arguments are
// inherited; a list of its own loses the preload, so it is put back; and Node runs no `--import` before `eval: true`, so the
// text itself begins by requiring it.

import { fileURLToPath } from 'node:url';
import type { WorkerOptions } from 'node:worker_threads';
import type { Transformer } from './transformer.ts';

const register = new URL('../register.js', import.meta.url);
const ownPreload = `--require ${JSON.stringify(fileURLToPath(register))} `;

/** How a program's worker is to be made instead. */
export function preloadIntoWorker(
  transformer: Transformer,
  filename: string | URL,
  options: WorkerOptions,
): [string | URL, WorkerOptions] {
  const { env } = options;
  if (typeof env === 'object' && namesPreload(env.NODE_OPTIONS)) {
    const first = { ...env, NODE_OPTIONS: `${ownPreload}${env.NODE_OPTIONS}` };
    return [
      options.eval === true ? transformer.transform('[worker eval]', String(filename), 'script', '') : filename,
      { ...options, env: first },
    ];
  }
  if (options.eval === true) return [evalText(transformer, String(filename)), options];
  const inherited = process.execArgv.includes(register.href) && !options.execArgv;
  if (inherited) return [filename, options];
  const execArgv = [...(options.execArgv ?? process.execArgv), '--import', register.href];
  return [filename, { ...options, execArgv }];
}

/** Modules that an environment's NODE_OPTIONS require run before any `--import`, and may look at workerData: the sanitizer's stands before them. */
function namesPreload(nodeOptions: string | undefined): boolean {
  return nodeOptions !== undefined && /(^|\s)(-r|--require)[\s=]/.test(nodeOptions);
}

/** In a worker: shows the program the NODE_OPTIONS that it has given. */
export function forgetOwnPreload(env: NodeJS.ProcessEnv): void {
  if (env.NODE_OPTIONS?.startsWith(ownPreload)) env.NODE_OPTIONS = env.NODE_OPTIONS.slice(ownPreload.length);
}

function evalText(transformer: Transformer, source: string): string {
  const preamble = `require(${JSON.stringify(fileURLToPath(register))});`;
  return transformer.transform('[worker eval]', source, 'script', preamble);
}
