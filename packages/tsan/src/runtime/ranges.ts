// What built-ins touch of a view, in the words of ECMA-262: relative indices, clamped ranges. Shared by all patched methods.

import type { View, ViewShadow } from './buffer-shadow.ts';
import { shadowOf } from './buffers.ts';
import { Cell } from './clock.ts';
import type { Runtime } from './runtime.ts';

/** Elements [from, to) of a tagged view. */
export type Touch = (shadow: ViewShadow, from: number, to: number) => void;

export interface Touches {
  readonly read: Touch;
  readonly write: Touch;
  /** All of something that may be a view on shared memory. */
  readonly readAll: (source: unknown) => void;
  readonly writeAll: (target: unknown) => void;
  /** Bytes [from, to) of something that may be a view on shared memory, or such memory itself. */
  readonly readBytes: (source: unknown, from: number, to: number) => void;
  readonly writeBytes: (target: unknown, from: number, to: number) => void;
}

export function createTouches(runtime: Runtime): Touches {
  const { check, site, buffers } = runtime;
  const bulk = Cell.tear;

  function touch(shadow: ViewShadow, from: number, to: number, kind: number): void {
    if (!(to > from)) return;
    const size = 1 << shadow.shift;
    check.range(shadow.buffer, shadow.base + from * size, (to - from) * size, kind | shadow.kind, site[0]!);
  }
  function bytes(target: unknown, from: number, to: number, kind: number): void {
    const shadow = shadowOf(target);
    if (shadow !== undefined) {
      const end = Math.min(to, (target as View).byteLength);
      check.range(shadow.buffer, shadow.base + from, end - from, kind | bulk, site[0]!);
      return;
    }
    if (typeof target !== 'object' || target === null || ArrayBuffer.isView(target)) return;
    const buffer = buffers.known(target);
    if (buffer !== undefined) check.range(buffer, from, Math.min(to, buffer.bytesMax) - from, kind | bulk, site[0]!);
  }
  return {
    read: (shadow, from, to) => touch(shadow, from, to, 0),
    write: (shadow, from, to) => touch(shadow, from, to, Cell.write),
    readAll: (source) => bytes(source, 0, Number.POSITIVE_INFINITY, 0),
    writeAll: (target) => bytes(target, 0, Number.POSITIVE_INFINITY, Cell.write),
    readBytes: (source, from, to) => bytes(source, from, to, 0),
    writeBytes: (target, from, to) => bytes(target, from, to, Cell.write),
  };
}

/** ToIntegerOrInfinity. Asks an object, so: once, and the original gets the result. */
export function toInteger(value: unknown): number {
  // Not Number(), which would take a bigint.
  const number = Math.trunc(value as number);
  return Number.isNaN(number) ? 0 : number;
}

/** A relative index, clamped: [0, length]. */
export function relative(value: number, length: number): number {
  return value < 0 ? Math.max(0, length + value) : Math.min(value, length);
}
