// What built-ins touch of a view, in the words of ECMA-262: relative indices, clamped ranges. Shared by all patched methods.

import type { BufferShadow, View, ViewShadow } from './buffer-shadow.ts';
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
  /** From the call until `end`, somebody else reads these bytes in this thread's name. */
  readonly beginRead: (source: unknown, from: number, to: number) => Ongoing;
  /** The same for bytes that are written; how many is known at the end. */
  readonly beginWrite: (target: unknown, from: number) => Ongoing;
}

/** Ends what was begun: at which byte, if it was not said before. */
export type Ongoing = (to?: number) => void;

interface Place {
  readonly buffer: BufferShadow;
  readonly offset: number;
  readonly bytes: number;
}

const nothing: Ongoing = () => {};

export function createTouches(runtime: Runtime): Touches {
  const { check, site, buffers, clock } = runtime;
  const bulk = Cell.tear;

  function touch(shadow: ViewShadow, from: number, to: number, kind: number): void {
    if (!(to > from)) return;
    const size = 1 << shadow.shift;
    check.range(shadow.buffer, shadow.base + from * size, (to - from) * size, kind | shadow.kind, site[0]!);
  }
  function bytes(target: unknown, from: number, to: number, kind: number): void {
    const place = placeOf(target, from, to);
    if (place !== undefined) check.range(place.buffer, place.offset, place.bytes, kind | bulk, site[0]!);
  }
  /** Bytes of a view on shared memory, or of such memory itself. */
  function placeOf(target: unknown, from: number, to: number): Place | undefined {
    const shadow = shadowOf(target);
    if (shadow !== undefined) {
      const { buffer, base } = shadow;
      return { buffer, offset: base + from, bytes: Math.min(to, (target as View).byteLength) - from };
    }
    if (typeof target !== 'object' || target === null || ArrayBuffer.isView(target)) return undefined;
    const buffer = buffers.known(target);
    return buffer && { buffer, offset: from, bytes: Math.min(to, buffer.bytesMax) - from };
  }
  function begin(target: unknown, from: number, to: number, kind: number): Ongoing {
    if (placeOf(target, from, to) === undefined) return nothing;
    const since = clock.copy();
    const at = site[0]!;
    return (end = to) => {
      const place = placeOf(target, from, end)!;
      check.late(place.buffer, place.offset, place.bytes, kind | bulk, at, since);
    };
  }
  return {
    read: (shadow, from, to) => touch(shadow, from, to, 0),
    write: (shadow, from, to) => touch(shadow, from, to, Cell.write),
    readAll: (source) => bytes(source, 0, Number.POSITIVE_INFINITY, 0),
    writeAll: (target) => bytes(target, 0, Number.POSITIVE_INFINITY, Cell.write),
    readBytes: (source, from, to) => bytes(source, from, to, 0),
    writeBytes: (target, from, to) => bytes(target, from, to, Cell.write),
    beginRead(source, from, to) {
      bytes(source, from, to, 0);
      return begin(source, from, to, 0);
    },
    beginWrite: (target, from) => begin(target, from, from, Cell.write),
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
