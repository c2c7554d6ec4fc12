// Node's Buffer: its methods read and write bytes in code of Node's that nobody rewrites. Its numbers (readInt32LE ...) are ranges of a fixed size; what depends
// on contents (a string's bytes, where a search stopped) is known from the result.

import { Buffer } from 'node:buffer';
import { type View, viewLength } from './buffer-shadow.ts';
import { shadowOf } from './buffers.ts';
import { guarded, type Subject } from './guarded.ts';
import { patchMethod } from './patch.ts';
import { relative, type Touches } from './ranges.ts';
import type { Runtime } from './runtime.ts';

type Method = (this: View, ...args: unknown[]) => unknown;
const { apply } = Reflect;
const { isView } = ArrayBuffer;

/** The call is over, and its arguments are not asked again: what is no number counts as none. */
function asInteger(value: unknown): number {
  return typeof value === 'number' || typeof value === 'string' ? Math.trunc(Number(value)) || 0 : 0;
}

type Touch = (view: View, args: readonly unknown[], result: unknown, touches: Touches) => void;

const numbers = [
  ...['Int8', 'UInt8', 'Uint8'].map((name) => [name, 1] as const),
  ...['Int16', 'UInt16', 'Uint16'].flatMap((name) => both(name, 2)),
  ...['Int32', 'UInt32', 'Uint32', 'Float'].flatMap((name) => both(name, 4)),
  ...['BigInt64', 'BigUInt64', 'BigUint64', 'Double'].flatMap((name) => both(name, 8)),
];
const variable = ['Int', 'UInt', 'Uint'].flatMap((name) => both(name, 0));
const encodings = ['ascii', 'base64', 'base64url', 'hex', 'latin1', 'ucs2', 'utf8'];

function both(name: string, size: number): (readonly [string, number])[] {
  return [
    [`${name}LE`, size],
    [`${name}BE`, size],
  ];
}

export function patchBuffers(runtime: Runtime, touches: Touches): void {
  const prototype = Buffer.prototype;
  const patch = (name: string, touch: Touch, subject: Subject = 'this', parameters?: number) => {
    patchMethod(prototype, name, (original: Method) => touching(original, touch, touches, subject, parameters));
  };
  for (const [name, size] of [...numbers, ...variable]) {
    const read: Touch = (view, [offset, bytes], _, { readBytes }) => {
      const at = asInteger(offset);
      readBytes(view, at, at + (size || asInteger(bytes)));
    };
    const write: Touch = (view, [, offset, bytes], _, { writeBytes }) => {
      const at = asInteger(offset);
      writeBytes(view, at, at + (size || asInteger(bytes)));
    };
    patch(`read${name}`, read, 'this', size === 0 ? 2 : 1);
    patch(`write${name}`, write, 'this', size === 0 ? 3 : 2);
  }
  for (const name of encodings) {
    patch(`${name}Slice`, (view, [start, end], _, { readBytes }) =>
      readBytes(view, asInteger(start), endOf(view, end)),
    );
    patch(`${name}Write`, (view, [, offset], count, { writeBytes }) => {
      writeBytes(view, asInteger(offset), asInteger(offset) + (count as number));
    });
  }
  for (const [name, touch] of methods) patch(name, touch, takesView.has(name) ? 'either' : 'this');
  patchMethod(prototype, 'fill', (original: Method) => filling(original, touches));
  for (const name of ['slice', 'subarray']) {
    patchMethod(prototype, name, (original: Method) => viewing(original, runtime));
  }
  patchStatics(runtime, touches);
}

function touching(
  original: Method,
  touch: Touch,
  touches: Touches,
  subject: Subject,
  parameters: number | undefined,
): Method {
  const slow = function (this: View, ...args: unknown[]): unknown {
    const result = apply(original, this, args);
    touch(this, args, result, touches);
    return result;
  };
  return guarded(original, slow, subject, parameters);
}

function endOf(view: View, end: unknown): number {
  return end === undefined ? viewLength(view) : Math.min(asInteger(end), viewLength(view));
}

const swap: Touch = (view, _, __, { readAll, writeAll }) => {
  readAll(view);
  writeAll(view);
};

const search: Touch = (view, args, result, { readBytes, readAll }) => {
  const from = typeof args[1] === 'number' ? relative(asInteger(args[1]), viewLength(view)) : 0;
  const found = typeof result === 'number' ? result : -1;
  const needle = args[0];
  const size = typeof needle === 'number' ? 1 : isView(needle) ? needle.byteLength : 1;
  readBytes(view, from, found >= 0 ? found + size : viewLength(view));
  if (isView(needle)) readAll(needle);
};

/** Their first argument may be a view, too. */
const takesView = new Set(['copy', 'equals', 'compare', 'indexOf', 'includes', 'lastIndexOf']);
const methods: readonly (readonly [string, Touch])[] = [
  ['swap16', swap],
  ['swap32', swap],
  ['swap64', swap],
  ['toJSON', (view, _, __, { readAll }) => readAll(view)],
  ['inspect', (view, _, __, { readBytes }) => readBytes(view, 0, 50)],
  [
    'toString',
    (view, [, start, end], _, { readBytes }) => readBytes(view, Math.max(0, asInteger(start)), endOf(view, end)),
  ],
  [
    'toLocaleString',
    (view, [, start, end], _, { readBytes }) => {
      readBytes(view, Math.max(0, asInteger(start)), endOf(view, end));
    },
  ],
  [
    'write',
    (view, [, offset], count, { writeBytes }) => {
      const at = typeof offset === 'number' ? offset : 0;
      writeBytes(view, at, at + (count as number));
    },
  ],
  [
    'copy',
    (view, [target, targetStart, sourceStart], count, { readBytes, writeBytes }) => {
      const from = asInteger(sourceStart);
      const to = asInteger(targetStart);
      readBytes(view, from, from + (count as number));
      writeBytes(target, to, to + (count as number));
    },
  ],
  [
    'equals',
    (view, [other], _, { readAll }) => {
      if (viewLength(view) !== (other as View).byteLength) return;
      readAll(view);
      readAll(other);
    },
  ],
  [
    'compare',
    (view, [target, targetStart, targetEnd, start, end], _, { readBytes }) => {
      readBytes(view, asInteger(start), endOf(view, end));
      const length = (target as View).byteLength;
      readBytes(target, asInteger(targetStart), targetEnd === undefined ? length : asInteger(targetEnd));
    },
  ],
  ['indexOf', search],
  ['includes', search],
  [
    'lastIndexOf',
    (view, args, result, { readBytes, readAll }) => {
      readBytes(view, Math.max(0, result as number), viewLength(view));
      readAll(args[0]);
    },
  ],
];

function filling(original: Method, { readAll, writeBytes }: Touches): Method {
  const slow = function (this: View, value: unknown, offset: unknown, end: unknown, encoding: unknown): unknown {
    const result = apply(original, this, [value, offset, end, encoding]);
    readAll(value);
    const start = typeof offset === 'number' ? asInteger(offset) : 0;
    writeBytes(this, start, typeof end === 'number' ? asInteger(end) : viewLength(this));
    return result;
  };
  return guarded(original, slow as Method, 'either', 4);
}

function viewing(original: Method, { buffers }: Runtime): Method {
  return {
    slice(this: View, start: unknown, end: unknown): unknown {
      const result = apply(original, this, [start, end]);
      if (shadowOf(this) !== undefined && isView(result)) buffers.tagView(result);
      return result;
    },
  }.slice as Method;
}

function patchStatics({ buffers }: Runtime, { readAll }: Touches): void {
  patchMethod(
    Buffer,
    'from',
    (original: (...args: unknown[]) => Buffer) =>
      ({
        from(...args: unknown[]): Buffer {
          const buffer = apply(original, Buffer, args);
          if (typeof args[0] !== 'object' || args[0] === null) return buffer;
          if (isView(args[0])) readAll(args[0]);
          else buffers.tagView(buffer);
          return buffer;
        },
      }).from,
  );
  patchMethod(
    Buffer,
    'concat',
    (original: (...args: unknown[]) => Buffer) =>
      ({
        concat(...args: unknown[]): Buffer {
          const buffer = apply(original, Buffer, args);
          if (Array.isArray(args[0])) for (const each of args[0]) readAll(each);
          return buffer;
        },
      }).concat,
  );
  for (const name of ['compare', 'copyBytesFrom']) {
    patchMethod(
      Buffer,
      name,
      (original: (...args: unknown[]) => unknown) =>
        ({
          method(...args: unknown[]): unknown {
            const result = apply(original, Buffer, args);
            readAll(args[0]);
            if (name === 'compare') readAll(args[1]);
            return result;
          },
        }).method,
    );
  }
}
