// CommonJS: everything that `require` loads passes `Module.prototype._compile`, also what other tools (tsx, ts-node) have made of it before.

import Module from 'node:module';
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Transformer } from './transformer.ts';

interface Compiling {
  _compile(this: unknown, content: string, filename: string, ...rest: unknown[]): unknown;
}

export function patchCommonJs(transformer: Transformer): void {
  const prototype = Module.prototype as unknown as Compiling;
  const compile = prototype._compile;
  prototype._compile = function _compile(content, filename, ...rest) {
    const sourceType = rest[0] === 'module' ? 'module' : 'commonjs';
    const url = isAbsolute(filename) ? pathToFileURL(filename).href : filename;
    return compile.call(this, transformer.transform(url, String(content), sourceType), filename, ...rest);
  };
}
