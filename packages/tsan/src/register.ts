// The preload: `node --import @tspdk/tsan/register app.js`. In every thread of the program: first the runtime, then the rewriting of what is
// loaded from here on. A preload given with `--require` also runs in the thread that Node keeps for module hooks: nothing to do there.

import { isMainThread, parentPort } from 'node:worker_threads';
import type { HooksData } from './load/hooks-thread.ts';
import { forgetOwnPreload, preloadIntoWorker, startLoading } from './load/index.ts';
import { isExcludedBy, say } from './load/skip.ts';
import { install } from './runtime/install.ts';
import { addModule } from './runtime/sites.ts';
import { setPositionResolver } from './runtime/stack.ts';
import { setWorkerPreload } from './runtime/workers.ts';

const isHooksThread = !isMainThread && parentPort === null;

/** Loaded once as a module and perhaps once more by `require`. */
const started = Symbol.for('@tspdk/tsan/register');

function start(): void {
  const installed = install();
  if (!installed) return;
  const { control, options } = installed;
  const { exclude } = options;
  const writesMaps = /(^|\s)--enable-source-maps(\s|$)/.test([process.env.NODE_OPTIONS, ...process.execArgv].join(' '));
  const transformer = startLoading(
    { allocate: (table) => addModule(control, table), isExcluded: isExcludedBy(exclude), writesMaps, say },
    (): HooksData => ({ control: control.memory, exclude, writesMaps }),
  );
  forgetOwnPreload(process.env);
  setPositionResolver((file, line, column) => transformer.resolve(file, line, column));
  setWorkerPreload((filename, workerOptions) => preloadIntoWorker(transformer, filename, workerOptions));
}

if (!isHooksThread && !(started in globalThis)) {
  Object.defineProperty(globalThis, started, { value: true });
  start();
}
