// Brings rewritten code into a thread: everything loaded after `startLoading` is rewritten.

import { patchCommonJs } from './common-js.ts';
import { hasSyncHooks, registerHooksThread, registerSyncHooks } from './modules.ts';
import { Transformer, type TransformerOptions } from './transformer.ts';

export type { Place, Transformer } from './transformer.ts';
export { preloadIntoWorker } from './workers.ts';

/** `hooksData` is what the hooks thread of older Nodes is given: called once a process, by its main thread. */
export function startLoading(
  options: TransformerOptions,
  hooksData: () => unknown,
  isMainThread: boolean,
): Transformer {
  const transformer = new Transformer(options);
  patchCommonJs(transformer);
  if (hasSyncHooks) registerSyncHooks(transformer);
  else if (isMainThread) registerHooksThread(hooksData());
  return transformer;
}
