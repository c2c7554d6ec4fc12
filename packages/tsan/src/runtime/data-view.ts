// DataView: each get and set is a plain access that may tear (ECMA-262 gives it no guarantee), of exactly the bytes that it names.

import type { View } from './buffer-shadow.ts';
import { shadowOf } from './buffers.ts';
import { guarded } from './guarded.ts';
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
    patchMethod(DataView.prototype, `get${type}`, (original: Get) => {
      const slow = function (this: View, offset: unknown, littleEndian?: unknown): unknown {
        const at = toInteger(offset);
        const value = apply(original, this, [at, littleEndian]);
        read(shadowOf(this)!, at, at + size);
        return value;
      };
      return guarded(original, slow as Get, 'this', 2);
    });
    patchMethod(DataView.prototype, `set${type}`, (original: Set) => {
      const slow = function (this: View, offset: unknown, value: unknown, littleEndian?: unknown): unknown {
        const at = toInteger(offset);
        const result = apply(original, this, [at, value, littleEndian]);
        write(shadowOf(this)!, at, at + size);
        return result;
      };
      return guarded(original, slow as Set, 'this', 3);
    });
  }
}
