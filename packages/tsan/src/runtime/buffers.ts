// Which buffer is which. A SharedArrayBuffer that arrives in a message is another object than the one that was sent, so a buffer's id and shadow travel with it
// and are bound to whatever object stands for it here. Views carry their shadow under a symbol that the program does not see.

import { types } from 'node:util';
import { BufferShadow, type View, ViewShadow } from './buffer-shadow.ts';
import { Cell } from './clock.ts';
import { Header } from './control.ts';
import type { Runtime } from './runtime.ts';

export const tag: unique symbol = Symbol('jstsan') as never;

const typedArray = Object.getPrototypeOf(Uint8Array) as { prototype: object };
const { call } = Function.prototype;
function getterOf<T>(prototype: object, name: PropertyKey): (object: unknown) => T {
  return call.bind(Object.getOwnPropertyDescriptor(prototype, name)!.get!) as (object: unknown) => T;
}
const typedBuffer = getterOf<ArrayBufferLike>(typedArray.prototype, 'buffer');
const typedOffset = getterOf<number>(typedArray.prototype, 'byteOffset');
export const typedName = getterOf<string | undefined>(typedArray.prototype, Symbol.toStringTag);
const dataBuffer = getterOf<ArrayBufferLike>(DataView.prototype, 'buffer');
const dataOffset = getterOf<number>(DataView.prototype, 'byteOffset');
const sharedBytes = getterOf<number>(SharedArrayBuffer.prototype, 'byteLength');
const growableBytes = Object.getOwnPropertyDescriptor(SharedArrayBuffer.prototype, 'maxByteLength')?.get as
  | ((this: unknown) => number)
  | undefined;
const { isView } = ArrayBuffer;
const { defineProperty } = Object;

/** Undefined for what is not a SharedArrayBuffer, of whichever realm. */
export function sharedSize(buffer: unknown): number | undefined {
  if (buffer instanceof ArrayBuffer || !types.isSharedArrayBuffer(buffer)) return undefined;
  return growableBytes === undefined ? sharedBytes(buffer) : (call.call(growableBytes, buffer) as number);
}

const shifts: Record<string, number> = {
  Int8Array: 0,
  Uint8Array: 0,
  Uint8ClampedArray: 0,
  Int16Array: 1,
  Uint16Array: 1,
  Float16Array: 1,
  Int32Array: 2,
  Uint32Array: 2,
  Float32Array: 2,
  Float64Array: 3,
  BigInt64Array: 3,
  BigUint64Array: 3,
};
/** Only unclamped integers of at most 32 bits are never read or written in parts (ECMA-262, IsNoTearConfiguration). */
const tearing = new Set([
  'Uint8ClampedArray',
  'Float16Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
]);

function isAtomic(name: string): boolean {
  return name.startsWith('Big') || !tearing.has(name);
}

export class Buffers {
  readonly #runtime: Runtime;
  readonly #shadows = new WeakMap<object, BufferShadow>();
  readonly #objects = new Map<number, WeakRef<object>>();
  readonly #byId = new Map<number, WeakRef<BufferShadow>>();
  /** How tagged typed arrays are iterated. */
  iterator: PropertyDescriptor | undefined;
  /** By the WebAssembly.Memory, which gives out another buffer each time it has grown. */
  readonly #memories = new WeakMap<object, BufferShadow>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  leaveUnchecked(buffer: object, memory: object): void {
    if (this.#shadows.has(buffer)) return;
    const known = this.#memories.get(memory);
    const { control, clock } = this.#runtime;
    const shadow = known ?? new BufferShadow(control.take(Header.nextBuffer), 0, clock.uid, 0, true);
    this.#memories.set(memory, shadow);
    this.#bind(buffer, shadow);
  }

  /** The shadow of a buffer that has one. */
  known(buffer: object): BufferShadow | undefined {
    return this.#shadows.get(buffer);
  }

  /** The shadow of a buffer, made where it has none yet. Undefined: not shared memory, or memory that is not checked. */
  of(buffer: object): BufferShadow | undefined {
    if (buffer instanceof ArrayBuffer) return undefined;
    const known = this.#shadows.get(buffer);
    if (known !== undefined) return known;
    const size = sharedSize(buffer);
    if (size === undefined) return undefined;
    const { control, clock } = this.#runtime;
    const id = control.take(Header.nextBuffer);
    const shadow = new BufferShadow(id, size, clock.uid, this.#runtime.captureWord());
    this.#bind(buffer, shadow);
    return shadow;
  }

  #bind(buffer: object, shadow: BufferShadow): void {
    this.#shadows.set(buffer, shadow);
    this.#byId.set(shadow.id, new WeakRef(shadow));
    this.#objects.set(shadow.id, new WeakRef(buffer));
  }

  /** An object that stands for the buffer here, if this thread has it. */
  objectOf(id: number): SharedArrayBuffer | undefined {
    return this.#objects.get(id)?.deref() as SharedArrayBuffer | undefined;
  }

  /** A buffer has arrived, with what the sender knows of it. */
  adopt(buffer: object, parcel: BufferParcel): BufferShadow {
    const here = this.#shadows.get(buffer) ?? this.#byId.get(parcel.id)?.deref();
    const { id, bytesMax, creator, creatorWord, unchecked } = parcel;
    const shadow = here ?? new BufferShadow(id, bytesMax, creator, creatorWord, unchecked);
    shadow.share(parcel.memory);
    this.#bind(buffer, shadow);
    return shadow;
  }

  /** What a receiver must know of a buffer that is about to be sent. */
  parcel(buffer: SharedArrayBuffer): BufferParcel | undefined {
    const shadow = this.of(buffer);
    if (shadow === undefined) return undefined;
    const { id, bytesMax, creator, creatorWord, unchecked } = shadow;
    return { buffer, id, bytesMax, creator, creatorWord, unchecked, memory: shadow.share() };
  }

  /** Tags a view, if it is one on shared memory. */
  tagView(view: View): ViewShadow | undefined {
    const name = typedName(view);
    const buffer = name === undefined ? dataBuffer(view) : typedBuffer(view);
    const shadow = this.of(buffer);
    if (shadow === undefined) return undefined;
    const known = shadowOf(view);
    if (known !== undefined) return known;
    const made =
      name === undefined
        ? new ViewShadow(shadow, dataOffset(view), 0, Cell.tear, false)
        : new ViewShadow(shadow, typedOffset(view), shifts[name]!, tearing.has(name) ? Cell.tear : 0, isAtomic(name));
    defineProperty(view, tag, { value: made });
    if (name !== undefined && this.iterator !== undefined) defineProperty(view, Symbol.iterator, this.iterator);
    return made;
  }
}

export interface BufferParcel {
  readonly buffer: SharedArrayBuffer;
  readonly id: number;
  readonly bytesMax: number;
  readonly creator: number;
  readonly creatorWord: number;
  readonly unchecked: boolean;
  readonly memory: SharedArrayBuffer | undefined;
}

/** The tag of a view; undefined for everything else, and for views on memory of one thread only. */
export function shadowOf(view: unknown): ViewShadow | undefined {
  if (!isView(view)) return undefined;
  return (view as { [tag]?: ViewShadow })[tag];
}
