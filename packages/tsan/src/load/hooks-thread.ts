// The module hook of Node 20, in the thread that Node keeps for hooks. It rewrites for all threads of the program and numbers sites in
// the memory they share; the program's globals are not here.

import { Control } from '../runtime/control.ts';
import { inert } from '../runtime/inert.ts';
import { addModule } from '../runtime/sites.ts';
import { type LoadResult, transformLoaded } from './modules.ts';
import { isExcludedBy, say } from './skip.ts';
import { Transformer } from './transformer.ts';

/** What the main thread sends. */
export interface HooksData {
  control: SharedArrayBuffer;
  exclude: readonly string[];
  writesMaps: boolean;
}

let transformer: Transformer | undefined;
/** In the context of a load: an instance of this hook that was asked before rewrites what the others load. */
const asked = 'jstsan';

// Hooks that are added later are loaded through this one, and run in this thread, where nothing is shared.
if (!('__jstsan' in globalThis)) Object.defineProperty(globalThis, '__jstsan', { value: inert });

export function initialize({ control: memory, exclude, writesMaps }: HooksData): void {
  const control = new Control(memory);
  const allocate = addModule.bind(undefined, control);
  transformer ??= new Transformer({ allocate, isExcluded: isExcludedBy(exclude), writesMaps, say });
}

export async function load(
  url: string,
  context: object,
  next: (url: string, context: object) => Promise<LoadResult>,
): Promise<LoadResult> {
  if (asked in context) return next(url, context);
  const loaded = await next(url, { ...context, [asked]: true });
  return transformer ? transformLoaded(transformer, url, loaded) : loaded;
}
