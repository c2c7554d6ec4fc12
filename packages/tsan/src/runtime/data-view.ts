// DataView: each get and set is a plain access that may tear (ECMA-262 gives it no guarantee), of exactly the bytes that it names.

import type { View } from './buffer-shadow.ts';
import { shadowOf } from './buffers.ts';
import { patchMethod } from './patch.ts';
import { type Touches, toInteger } from './ranges.ts';

type Get = (this: View, offset: unknown, littleEndian?: unknown) => unknown;
type Set = (this: View, offset: unknown, value: unknown, littleEndian?: unknown) => unknown;
const { apply } = Reflect;

const sizes: Record<string, number> = {
  Int8: 1,
  Uint8: 1,
  Int16: 2,
  Uint16: 2,
  Float16: 2,
  Int32: 4,
  Uint32: 4,
  Float32: 4,
  Float64: 8,
  BigInt64: 8,
  BigUint64: 8,
};

export function patchDataViews({ read, write }: Touches): void {
  for (const [type, size] of Object.entries(sizes)) {
    patchMethod(
      DataView.prototype,
      `get${type}`,
      (original: Get) =>
        ({
          get(this: View, offset: unknown, littleEndian?: unknown): unknown {
            const shadow = shadowOf(this);
            if (shadow?.buffer.memory === undefined) return apply(original, this, [offset, littleEndian]);
            const at = toInteger(offset);
            const value = apply(original, this, [at, littleEndian]);
            read(shadow, at, at + size);
            return value;
          },
        }).get as Get,
    );
    patchMethod(
      DataView.prototype,
      `set${type}`,
      (original: Set) =>
        ({
          set(this: View, offset: unknown, value: unknown, littleEndian?: unknown): unknown {
            const shadow = shadowOf(this);
            if (shadow?.buffer.memory === undefined) return apply(original, this, [offset, value, littleEndian]);
            const at = toInteger(offset);
            const result = apply(original, this, [at, value, littleEndian]);
            write(shadow, at, at + size);
            return result;
          },
        }).set as Set,
    );
  }
}
