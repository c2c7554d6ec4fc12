// Files, random numbers and compression that read or fill a shared view, at once or later. What the thread pool does counts as done by the thread that asked for
// it: what it reads is read when it is asked, what it fills is filled when the callback is called, and all of that is before the callback.

import { createRequire } from 'node:module';
import { elementBytes } from './codecs.ts';
import { patchMethod } from './patch.ts';
import type { Touches } from './ranges.ts';

type Method = (this: unknown, ...args: unknown[]) => unknown;
type Callback = (error: unknown, ...results: unknown[]) => unknown;
const { apply } = Reflect;
const require = createRequire(import.meta.url);

export function patchAsyncIo(touches: Touches): void {
  const fs = require('node:fs') as typeof import('node:fs');
  patchReads(fs, touches);
  patchWrites(fs, touches);
  patchHandles(touches);
  patchRandom(require('node:crypto') as object, touches);
  patchZlib(require('node:zlib') as object, touches);
}

/** Where fs.read(fd, view, offset ...), in either of its spellings, begins to write. */
function targetOf(args: readonly unknown[]): { view: unknown; offset: number } {
  const [, view, second] = args;
  if (ArrayBuffer.isView(view)) {
    const offset = typeof second === 'object' && second !== null ? (second as { offset?: unknown }).offset : second;
    return { view, offset: typeof offset === 'number' ? offset : 0 };
  }
  const options = (typeof view === 'object' && view !== null ? view : {}) as { buffer?: unknown; offset?: unknown };
  return { view: options.buffer, offset: typeof options.offset === 'number' ? options.offset : 0 };
}

/** Puts `after` before the callback, the last argument. */
function withCallback(args: unknown[], after: (results: unknown[]) => void): unknown[] {
  const callback = args.at(-1);
  if (typeof callback !== 'function') return args;
  const own = function (this: unknown, ...results: unknown[]): unknown {
    if (results[0] === null || results[0] === undefined) after(results);
    return apply(callback as Callback, this, results as [unknown]);
  };
  return [...args.slice(0, -1), own];
}

function patchReads(fs: object, { writeBytes }: Touches): void {
  const filled = (args: readonly unknown[], count: unknown) => {
    const { view, offset } = targetOf(args);
    if (typeof count === 'number') writeBytes(view, offset, offset + count);
  };
  const spread = (views: unknown, count: unknown) => {
    let left = typeof count === 'number' ? count : 0;
    for (const view of Array.isArray(views) ? (views as ArrayBufferView[]) : []) {
      writeBytes(view, 0, Math.min(left, view.byteLength));
      left = Math.max(0, left - view.byteLength);
    }
  };
  patchBoth(fs, 'readSync', 'read', filled);
  patchBoth(fs, 'readvSync', 'readv', (args, count) => spread(args[1], count));
}

function patchWrites(fs: object, { readBytes, readAll }: Touches): void {
  const taken = (args: readonly unknown[], count: unknown) => {
    const { view, offset } = targetOf(args);
    if (typeof count === 'number') readBytes(view, offset, offset + count);
  };
  patchBoth(fs, 'writeSync', 'write', taken);
  patchBoth(fs, 'writevSync', 'writev', (args) => {
    if (Array.isArray(args[1])) for (const view of args[1]) readAll(view);
  });
  for (const name of ['writeFile', 'appendFile']) {
    patchBoth(fs, `${name}Sync`, name, (args) => readAll(args[1]));
  }
}

/** A function in its synchronous form, which returns a count, and in that with a callback, which gets it as its second argument. */
function patchBoth(
  holder: object,
  sync: string,
  later: string,
  touch: (args: readonly unknown[], count: unknown) => void,
): void {
  patchMethod(
    holder,
    sync,
    (original: Method) =>
      ({
        method(this: unknown, ...args: unknown[]): unknown {
          const count = apply(original, this, args);
          touch(args, count);
          return count;
        },
      }).method as Method,
  );
  patchMethod(holder, later, (original: Method) => {
    const own = {
      method(this: unknown, ...args: unknown[]): unknown {
        return apply(
          original,
          this,
          withCallback(args, (results) => touch(args, results[1])),
        );
      },
    }.method as Method;
    copySymbols(own, original);
    return own;
  });
}

/** util.promisify looks for its own symbols on what it is given. */
function copySymbols(own: object, original: object): void {
  for (const symbol of Object.getOwnPropertySymbols(original)) {
    Object.defineProperty(own, symbol, Object.getOwnPropertyDescriptor(original, symbol)!);
  }
}

/** FileHandle's class is not given out: it is patched when the first handle is opened. */
function patchHandles({ writeBytes, readBytes }: Touches): void {
  const promises = require('node:fs/promises') as typeof import('node:fs/promises');
  let patched = false;
  const settle = (
    name: string,
    touch: (args: unknown[], result: { bytesRead?: number; bytesWritten?: number }) => void,
  ) => ({
    name,
    touch,
  });
  const methods = [
    settle('read', (args, { bytesRead }) => {
      const { view, offset } = targetOf([0, ...args]);
      writeBytes(view, offset, offset + (bytesRead ?? 0));
    }),
    settle('write', (args, { bytesWritten }) => {
      const { view, offset } = targetOf([0, ...args]);
      readBytes(view, offset, offset + (bytesWritten ?? 0));
    }),
  ];
  const patchClass = (handle: object) => {
    patched = true;
    const prototype = Object.getPrototypeOf(handle) as object;
    for (const { name, touch } of methods) {
      patchMethod(
        prototype,
        name,
        (original: Method) =>
          ({
            async method(this: unknown, ...args: unknown[]): Promise<unknown> {
              const result = (await apply(original, this, args)) as object;
              touch(args, result);
              return result;
            },
          }).method as Method,
      );
    }
  };
  patchMethod(
    promises,
    'open',
    (original: (...args: unknown[]) => Promise<object>) =>
      ({
        async open(...args: unknown[]): Promise<object> {
          const handle = await original(...args);
          if (!patched) patchClass(handle);
          return handle;
        },
      }).open,
  );
}

function patchRandom(crypto: object, { writeBytes }: Touches): void {
  patchMethod(
    crypto,
    'randomFill',
    (original: Method) =>
      ({
        randomFill(this: unknown, ...args: unknown[]): unknown {
          const [view, offset, size] = args;
          const bytes = elementBytes(view);
          const from = typeof offset === 'number' ? offset * bytes : 0;
          const to = typeof size === 'number' ? from + size * bytes : Number.POSITIVE_INFINITY;
          return apply(
            original,
            this,
            withCallback(args, () => writeBytes(view, from, to)),
          );
        },
      }).randomFill as Method,
  );
}

function patchZlib(zlib: object, { readAll }: Touches): void {
  const names = ['deflate', 'deflateRaw', 'gzip', 'gunzip', 'inflate', 'inflateRaw', 'unzip'];
  for (const name of [...names, 'brotliCompress', 'brotliDecompress', 'zstdCompress', 'zstdDecompress']) {
    patchBoth(zlib, `${name}Sync`, name, (args) => readAll(args[0]));
  }
}
