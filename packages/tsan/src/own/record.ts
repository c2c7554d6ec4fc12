// Words of a block's and of a lock's record in the control memory, and how a report speaks of a place, a thread and what it did.

import type { BufferShadow, View } from '../runtime/buffer-shadow.ts';
import { shadowOf, typedName } from '../runtime/buffers.ts';
import type { Runtime } from '../runtime/runtime.ts';

/** Memory that an annotation names: shared, of whichever type. */
export type Target = View | SharedArrayBuffer;

export interface Place {
  readonly buffer: BufferShadow;
  readonly offset: number;
}

/** Where an element of a view lies, or a byte of a buffer or DataView. Undefined: not shared memory, or memory that is not checked. */
export function placeOf(runtime: Runtime, target: Target, index = 0): Place | undefined {
  if (!ArrayBuffer.isView(target)) {
    const buffer = typeof target === 'object' && target !== null ? runtime.buffers.of(target) : undefined;
    return buffer === undefined ? undefined : { buffer, offset: index };
  }
  const shadow = shadowOf(target) ?? runtime.buffers.tagView(target);
  if (shadow === undefined) return undefined;
  const size = typedName(target) === undefined ? 1 : 1 << shadow.shift;
  return { buffer: shadow.buffer, offset: shadow.base + index * size };
}

/** The place, with shadow memory: what is annotated is meant to be shared. */
export function sharedPlaceOf(runtime: Runtime, target: Target, index = 0): Place | undefined {
  const place = placeOf(runtime, target, index);
  place?.buffer.share();
  return place;
}
