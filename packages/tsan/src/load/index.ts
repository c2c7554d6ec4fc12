// Brings rewritten code into a thread: everything loaded after `startLoading` is rewritten.

import { patchCommonJs } from './common-js.ts';
import { hasSyncHooks, registerHooksThread, registerSyncHooks } from './modules.ts';
import { Transformer, type TransformerOptions } from './transformer.ts';

export type { Place, Transformer } from './transformer.ts';
export { forgetOwnPreload, preloadIntoWorker } from './workers.ts';

/** `hooksData` makes what the hooks thread of older Nodes is given; each thread of the program has one of its own there. */
export function startLoading(options: TransformerOptions, hooksData: () => unknown): Transformer {
  const transformer = new Transformer(options);
  patchCommonJs(transformer);
  if (hasSyncHooks) registerSyncHooks(transformer);
  else registerHooksThread(hooksData());
  return transformer;
}
