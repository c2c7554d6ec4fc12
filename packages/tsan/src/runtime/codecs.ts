// Built-ins that read or fill a view in one call: TextDecoder, TextEncoder.encodeInto, Reflect.get and set, crypto's synchronous functions.

import { createRequire } from 'node:module';
import type { View } from './buffer-shadow.ts';
import { shadowOf } from './buffers.ts';
import { guarded } from './guarded.ts';
import { patchMethod } from './patch.ts';
import type { Touches } from './ranges.ts';
import type { Runtime } from './runtime.ts';

type Method = (this: unknown, ...args: unknown[]) => unknown;
const { apply } = Reflect;
const { isView } = ArrayBuffer;
const require = createRequire(import.meta.url);

export function patchCodecs(runtime: Runtime, touches: Touches): void {
  const { readAll, writeAll, writeBytes } = touches;
  const after = (
    holder: object | undefined,
    name: string,
    touch: (args: unknown[], result: unknown, self: unknown) => void,
  ) => {
    if (holder === undefined) return;
    patchMethod(
      holder,
      name,
      (original: Method) =>
        ({
          method(this: unknown, ...args: unknown[]): unknown {
            const result = apply(original, this, args);
            touch(args, result, this);
            return result;
          },
        }).method as Method,
    );
  };
  after(TextDecoder.prototype, 'decode', ([source]) => readAll(source));
  after(TextEncoder.prototype, 'encodeInto', ([, target], result) => {
    writeBytes(target, 0, (result as { written: number }).written);
  });
  const crypto = require('node:crypto') as typeof import('node:crypto');
  after(crypto.Hash.prototype, 'update', ([data]) => readAll(data));
  after(crypto.Hmac.prototype, 'update', ([data]) => readAll(data));
  after(crypto, 'getRandomValues', ([target]) => writeAll(target));
  const { webcrypto } = crypto;
  after(Object.getPrototypeOf(webcrypto) as object, 'getRandomValues', ([target]) => writeAll(target));
  after(crypto, 'randomFillSync', ([target, offset, size]) => {
    const bytes = elementBytes(target);
    const from = typeof offset === 'number' ? offset * bytes : 0;
    writeBytes(target, from, typeof size === 'number' ? from + size * bytes : Number.POSITIVE_INFINITY);
  });
  after(crypto, 'timingSafeEqual', ([a, b]) => {
    readAll(a);
    readAll(b);
  });
  patchReflect(runtime);
  patchObject(touches);
}

/** Functions that take all elements of what they are given. */
function patchObject({ readAll }: Touches): void {
  const reading = (holder: object, name: string, from: number) =>
    patchMethod(holder, name, (original: Method) => {
      const slow = function (this: unknown, ...args: unknown[]): unknown {
        for (let at = from; at < args.length; at++) if (isView(args[at])) readAll(args[at]);
        return apply(original, this, args);
      };
      return from === 0 ? guarded(original, slow as Method, 'first') : slow;
    });
  reading(Object, 'values', 0);
  reading(Object, 'entries', 0);
  reading(Object, 'assign', 1);
  reading(JSON, 'stringify', 0);
}

/** randomFill counts in elements. */
export function elementBytes(view: unknown): number {
  return ((view as { BYTES_PER_ELEMENT?: number } | null)?.BYTES_PER_ELEMENT ?? 1) as number;
}

function patchReflect({ check, site }: Runtime): void {
  const indexOf = (key: unknown) => (typeof key === 'string' || typeof key === 'number' ? Number(key) : Number.NaN);
  patchMethod(
    Reflect,
    'get',
    (original: typeof Reflect.get) =>
      ({
        get(target: object, ...rest: [PropertyKey, unknown?]): unknown {
          const shadow = shadowOf(target);
          if (shadow !== undefined) check.read(shadow, target as View, indexOf(rest[0]), site[0]!);
          return original(target, ...rest);
        },
      }).get as typeof Reflect.get,
  );
  patchMethod(
    Reflect,
    'set',
    (original: typeof Reflect.set) =>
      ({
        set(target: object, ...rest: [PropertyKey, unknown, unknown?]): boolean {
          const shadow = shadowOf(target);
          if (shadow !== undefined) check.write(shadow, target as View, indexOf(rest[0]), site[0]!);
          return apply(original, Reflect, [target, ...rest]) as boolean;
        },
      }).set as typeof Reflect.set,
  );
}
