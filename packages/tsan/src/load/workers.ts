// Workers load the sanitizer before the program, whatever the program says about their arguments. Three ways lead there: arguments are
// inherited; a list of its own loses the preload, so it is put back; and Node runs no `--import` before `eval: true`, so the
// text itself begins by requiring it.

import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
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
  if (!options.execArgv && isInherited(env)) return [filename, options];
  const execArgv = [...(options.execArgv ?? process.execArgv), '--import', register.href];
  return [filename, { ...options, execArgv }];
}

/** A list that repeats what this thread was started with is refused where that has flags of V8, so what Node hands on by itself is left to it. */
function isInherited(env: WorkerOptions['env']): boolean {
  if (namesRegister(process.execArgv)) return true;
  const sameEnvironment = env === undefined || typeof env === 'symbol';
  return sameEnvironment && namesRegister((process.env.NODE_OPTIONS ?? '').split(/\s+/));
}

/** Whether a `--import` among these leads here: by its URL, its path, or the name of the package. */
function namesRegister(args: readonly string[]): boolean {
  const from = createRequire(join(process.cwd(), '-'));
  return args.some((arg, at) => {
    const name = arg.startsWith('--import=') ? arg.slice(9) : args[at - 1] === '--import' ? arg : undefined;
    if (name === undefined || name === register.href) return name !== undefined;
    try {
      return pathToFileURL(realpathSync(from.resolve(name))).href === register.href;
    } catch {
      return false;
    }
  });
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
