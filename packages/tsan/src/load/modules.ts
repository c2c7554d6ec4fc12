// ES modules: the hook that rewrites them, either in this thread (`registerHooks`, Node 22.15 and newer) or, on older Nodes, in the
// thread that Node keeps for hooks (`register`), which is given what it needs to number sites. The hook that was added last is asked first, and gets what
// those before it have made; so after every other one that is added, as by tsx, ours is added again: it has to see JavaScript.

import module, { syncBuiltinESMExports } from 'node:module';
import { patchMethod } from '../runtime/patch.ts';
import type { SourceType, Transformer } from './transformer.ts';

export interface LoadResult {
  format: string | null | undefined;
  source?: string | ArrayBuffer | NodeJS.TypedArray | null | undefined;
  shortCircuit?: boolean | undefined;
}

type SyncLoad = (url: string, context: object, next: (url: string, context: object) => LoadResult) => LoadResult;

interface NewerModule {
  registerHooks?: (hooks: { load: SyncLoad }) => { deregister(): void };
  stripTypeScriptTypes?: (source: string) => string;
}

const newer = module as unknown as NewerModule;

/** Are module hooks run by the thread that loads? */
export const hasSyncHooks = newer.registerHooks !== undefined;

export function registerSyncHooks(transformer: Transformer): void {
  const { registerHooks } = newer;
  if (registerHooks === undefined) return;
  const load: SyncLoad = (url, context, next) => transformLoaded(transformer, url, next(url, context));
  let own = registerHooks({ load });
  afterEach('registerHooks', () => {
    own.deregister();
    own = registerHooks({ load });
  });
}

/** `data` reaches `initialize` of hooks-thread.ts. */
export function registerHooksThread(data: unknown): void {
  const { register } = module;
  // Of its instances in the chain the first one that is asked does the work.
  const add = () => register(new URL('./hooks-thread.js', import.meta.url), { data });
  add();
  afterEach('register', add);
}

function afterEach(name: 'register' | 'registerHooks', act: () => void): void {
  patchMethod(module, name, (original: (...args: unknown[]) => unknown) => {
    const own = (...args: unknown[]): unknown => {
      const result = original(...args);
      act();
      return result;
    };
    return own;
  });
  syncBuiltinESMExports();
}

/** What a load hook returns for what the hooks before it have loaded. CommonJS is rewritten where it is compiled. */
export function transformLoaded(transformer: Transformer, url: string, loaded: LoadResult): LoadResult {
  const { format, source } = loaded;
  if (source === null || source === undefined) return loaded;
  if (format === 'module') return { ...loaded, source: transformer.transform(url, textOf(source), 'module') };
  const stripped = format?.endsWith('-typescript') ? strip(textOf(source)) : undefined;
  if (stripped === undefined) return loaded;
  // Imported TypeScript of the CommonJS kind is compiled without asking the hook for CommonJS on some Nodes.
  const sourceType: SourceType = format === 'module-typescript' ? 'module' : 'commonjs';
  return { ...loaded, format: sourceType, source: transformer.transform(url, stripped, sourceType) };
}

function strip(source: string): string | undefined {
  try {
    return newer.stripTypeScriptTypes?.(source);
  } catch {
    // Node will say why when it strips.
    return undefined;
  }
}

function textOf(source: string | ArrayBuffer | NodeJS.TypedArray): string {
  return typeof source === 'string' ? source : new TextDecoder().decode(source);
}
