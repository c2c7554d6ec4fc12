/**
 * A layout in shared memory, described once: names, offsets and types, read and written through plain typed arrays.
 *
 * `get` and `set` take the heap (its views) and a pointer, so that a struct is a set of offsets, not an object per block: nothing
 * is allocated to look at one. Fields keep their order; a field is aligned to its own size.
 */
import type { AllocSite } from './alloc-site.ts';
import { assert } from './errors.ts';
import type { Heap, Ptr } from './heap.ts';

/** Views of one buffer; a Heap is one. */
export interface Memory {
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
}

/** Type of one field: signed or unsigned 32 bits, a pointer into the heap, or a double. */
export type FieldType = 'i32' | 'u32' | 'ptr' | 'f64';

/** One field: byte offset and plain accessors. */
export interface Field {
  readonly offset: number;
  readonly type: FieldType;
  get(mem: Memory, ptr: Ptr): number;
  set(mem: Memory, ptr: Ptr, value: number): void;
}

/** A described layout. */
export type Struct<F extends Record<string, FieldType>> = { readonly [K in keyof F]: Field } & {
  readonly structName: string;
  /** Size of a block that holds it. */
  readonly bytes: number;
  /** A zeroed block of this layout on the caller's core. @throws as Heap.alloc */
  allocIn(heap: Heap, site: AllocSite): Ptr;
};

/** Describes a layout. Field names must not be `structName`, `bytes` or `allocIn`. */
export function struct<const F extends Record<string, FieldType>>(name: string, fields: F): Struct<F> {
  let offset = 0;
  const described: Record<string, Field> = {};
  for (const [field, type] of Object.entries(fields)) {
    assert(!['structName', 'bytes', 'allocIn'].includes(field), `struct ${name}: field name "${field}" is reserved`);
    const size = type === 'f64' ? 8 : 4;
    offset = (offset + size - 1) & ~(size - 1);
    described[field] = makeField(offset, type);
    offset += size;
  }
  const bytes = (offset + 7) & ~7;
  return {
    ...described,
    structName: name,
    bytes,
    allocIn: (heap: Heap, site: AllocSite): Ptr => heap.alloc(bytes, site),
  } as unknown as Struct<F>;
}

function makeField(offset: number, type: FieldType): Field {
  if (type === 'f64') {
    return {
      offset,
      type,
      get: (mem, ptr) => mem.f64[(ptr + offset) >>> 3] as number,
      set: (mem, ptr, value) => {
        mem.f64[(ptr + offset) >>> 3] = value;
      },
    };
  }
  if (type === 'i32') {
    return {
      offset,
      type,
      get: (mem, ptr) => mem.i32[(ptr + offset) >>> 2] as number,
      set: (mem, ptr, value) => {
        mem.i32[(ptr + offset) >>> 2] = value;
      },
    };
  }
  return {
    offset,
    type,
    get: (mem, ptr) => mem.u32[(ptr + offset) >>> 2] as number,
    set: (mem, ptr, value) => {
      mem.u32[(ptr + offset) >>> 2] = value;
    },
  };
}
