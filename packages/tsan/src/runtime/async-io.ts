// Files, random numbers and compression that read or fill a shared view, at once or later. What the thread pool does counts as done by the thread that asked for
// it, and lasts from the call until just before the callback: what others do in between races with it. A view that is read is read when it is asked, too.

import { createRequire } from 'node:module';
import { elementBytes } from './codecs.ts';
import { patchMethod } from './patch.ts';
import type { Ongoing, Touches } from './ranges.ts';

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

/** Where fs.read(fd, view, offset, length ...), in either of its spellings, begins, and how far it may go. */
function targetOf(args: readonly unknown[]): { view: unknown; offset: number; length: number } {
  const [, view, second, third] = args;
  const isObject = typeof second === 'object' && second !== null;
  const plain = typeof view === 'object' && view !== null ? view : {};
  const options = (isObject ? second : ArrayBuffer.isView(view) ? { offset: second, length: third } : plain) as {
    buffer?: unknown;
    offset?: unknown;
    length?: unknown;
  };
  return {
    view: ArrayBuffer.isView(view) ? view : options.buffer,
    offset: typeof options.offset === 'number' ? options.offset : 0,
    length: typeof options.length === 'number' ? options.length : Number.POSITIVE_INFINITY,
  };
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

/** What a call that takes its time begins; what is returned ends it, with what the call gives: a count, or nothing. */
type Begin = (args: readonly unknown[]) => (count: unknown) => void;

function readsOf({ beginWrite }: Touches): { one: Begin; many: Begin } {
  return {
    one(args) {
      const { view, offset } = targetOf(args);
      const end = beginWrite(view, offset);
      return (count) => {
        if (typeof count === 'number') end(offset + count);
      };
    },
    many(args) {
      const views = viewsOf(args[1]);
      const ends = views.map((view) => beginWrite(view, 0));
      return (count) => {
        let left = typeof count === 'number' ? count : 0;
        for (const [index, view] of views.entries()) {
          ends[index]!(Math.min(left, view.byteLength));
          left = Math.max(0, left - view.byteLength);
        }
      };
    },
  };
}

function writesOf({ beginRead }: Touches): { one: Begin; many: Begin; all: (source: unknown) => Ongoing } {
  const all = (source: unknown) => beginRead(source, 0, Number.POSITIVE_INFINITY);
  return {
    one(args) {
      const { view, offset, length } = targetOf(args);
      const end = beginRead(view, offset, offset + length);
      return () => end();
    },
    many(args) {
      const ends = viewsOf(args[1]).map(all);
      return () => {
        for (const end of ends) end();
      };
    },
    all,
  };
}

function viewsOf(views: unknown): readonly ArrayBufferView[] {
  return Array.isArray(views) ? (views as ArrayBufferView[]) : [];
}

function patchReads(fs: object, touches: Touches): void {
  const { one, many } = readsOf(touches);
  patchBoth(fs, 'readSync', 'read', one);
  patchBoth(fs, 'readvSync', 'readv', many);
}

function patchWrites(fs: object, touches: Touches): void {
  const { one, many, all } = writesOf(touches);
  patchBoth(fs, 'writeSync', 'write', one);
  patchBoth(fs, 'writevSync', 'writev', many);
  for (const name of ['writeFile', 'appendFile']) {
    patchBoth(fs, `${name}Sync`, name, (args) => {
      const end = all(args[1]);
      return () => end();
    });
  }
}

/** A function in its synchronous form, which returns a count, and in that with a callback, which gets it as its second argument. */
function patchBoth(holder: object, sync: string, later: string, begin: Begin): void {
  patchMethod(
    holder,
    sync,
    (original: Method) =>
      ({
        method(this: unknown, ...args: unknown[]): unknown {
          const end = begin(args);
          const count = apply(original, this, args);
          end(count);
          return count;
        },
      }).method as Method,
  );
  patchMethod(holder, later, (original: Method) => {
    const own = {
      method(this: unknown, ...args: unknown[]): unknown {
        const end = begin(args);
        return apply(
          original,
          this,
          withCallback(args, (results) => end(results[1])),
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

/** A method that promises its result. */
function patchPromising(holder: object, name: string, begin: Begin, countOf: (result: unknown) => unknown): void {
  patchMethod(
    holder,
    name,
    (original: Method) =>
      ({
        async method(this: unknown, ...args: unknown[]): Promise<unknown> {
          const end = begin(args);
          const result = await apply(original, this, args);
          end(countOf(result));
          return result;
        },
      }).method as Method,
  );
}

/** FileHandle's class is not given out: it is patched when the first handle is opened. */
function patchHandles(touches: Touches): void {
  const promises = require('node:fs/promises') as typeof import('node:fs/promises');
  const reads = readsOf(touches);
  const writes = writesOf(touches);
  /** As the function of fs, whose first argument a handle does not have. */
  const withoutFd =
    (begin: Begin): Begin =>
    (args) =>
      begin([0, ...args]);
  const whole: Begin = ([, data]) => {
    const end = writes.all(data);
    return () => end();
  };
  const none = () => undefined;
  for (const name of ['writeFile', 'appendFile']) patchPromising(promises, name, whole, none);
  let patched = false;
  const patchClass = (handle: object) => {
    patched = true;
    const prototype = Object.getPrototypeOf(handle) as object;
    const bytesRead = (result: unknown) => (result as { bytesRead?: number }).bytesRead;
    patchPromising(prototype, 'read', withoutFd(reads.one), bytesRead);
    patchPromising(prototype, 'readv', withoutFd(reads.many), bytesRead);
    patchPromising(prototype, 'write', withoutFd(writes.one), none);
    patchPromising(prototype, 'writev', withoutFd(writes.many), none);
    for (const name of ['writeFile', 'appendFile']) patchPromising(prototype, name, withoutFd(whole), none);
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

function patchRandom(crypto: object, { beginWrite }: Touches): void {
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
          const end = beginWrite(view, from);
          return apply(
            original,
            this,
            withCallback(args, () => end(to)),
          );
        },
      }).randomFill as Method,
  );
}

function patchZlib(zlib: object, touches: Touches): void {
  const { all } = writesOf(touches);
  const names = ['deflate', 'deflateRaw', 'gzip', 'gunzip', 'inflate', 'inflateRaw', 'unzip'];
  for (const name of [...names, 'brotliCompress', 'brotliDecompress', 'zstdCompress', 'zstdDecompress']) {
    patchBoth(zlib, `${name}Sync`, name, ([source]) => {
      const end = all(source);
      return () => end();
    });
  }
}
