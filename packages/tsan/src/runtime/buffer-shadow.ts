// What is known of one SharedArrayBuffer and of one view on it. Memory that no other thread can see yet is not shadowed: a buffer gets its shadow when it is
// first sent away, and the shadow goes along with it. Until then, and for indices that lie outside, a view's `limit` sends an access to the slow way.
//
//   shadow of a buffer    | 4 cells of 8 bytes | ...  | 4 words of 4 bytes | ... | heads of lists of sync variables | ... | blocks of regions | ...
//   for 8 bytes of it            32 bytes                  16 bytes                       2 x 4 bytes                         2 x 4 bytes
//
// Only pages that are used are paid for: six bytes for one where there are plain accesses, one more where there are atomics, one where there are blocks.

import { allocateShared } from './control.ts';
import { stopProcess } from './stop.ts';

export const cellsPerGroup = 4;

export type View = ArrayBufferView;

const typedArray = Object.getPrototypeOf(Uint8Array) as { prototype: object };
const getter = (prototype: object, name: string) =>
  Object.getOwnPropertyDescriptor(prototype, name)!.get as (this: unknown) => number;
const lengthOf = getter(typedArray.prototype, 'length');
const { call } = Function.prototype;
/** The length in elements, whatever the program has put over it. */
export const viewLength = call.bind(lengthOf) as (view: View) => number;

const none = new Float64Array(0);

export class BufferShadow {
  readonly id: number;
  /** Bytes that it can grow to. */
  readonly bytesMax: number;
  /** Uid of the thread that made it, and the word of its stack. */
  readonly creator: number;
  readonly creatorWord: number;
  /** Its shadow; none yet for memory of one thread, and never for memory that is not checked. */
  memory: SharedArrayBuffer | undefined;
  /** The memory of a WebAssembly module: atomics order threads, accesses are not checked. */
  readonly unchecked: boolean;
  cells: Float64Array = none;
  words: Int32Array = new Int32Array(0);
  heads: Int32Array = new Int32Array(0);
  /** For 4 bytes, the block they belong to; the last one says whether there are any. */
  blocks: Int32Array = new Int32Array(0);

  constructor(id: number, bytesMax: number, creator: number, creatorWord: number, unchecked = false) {
    this.id = id;
    this.unchecked = unchecked;
    this.bytesMax = bytesMax;
    this.creator = creator;
    this.creatorWord = creatorWord;
  }

  /** Whether more than one thread may have it. */
  get live(): boolean {
    return this.memory !== undefined || this.unchecked;
  }

  /** Ends the process where there is no memory for the shadow. */
  share(memory?: SharedArrayBuffer): SharedArrayBuffer | undefined {
    if (this.memory !== undefined || this.unchecked) return this.memory;
    const groups = Math.ceil(this.bytesMax / 8);
    // One group more: the lists of the buffer's own (its length).
    this.memory = memory ?? this.#allocate((groups + 1) * 64);
    this.cells = new Float64Array(this.memory, 0, groups * cellsPerGroup);
    this.words = new Int32Array(this.memory, groups * 32, groups * cellsPerGroup);
    this.heads = new Int32Array(this.memory, groups * 48, groups * 2 + 2);
    this.blocks = new Int32Array(this.memory, groups * 56 + 8, groups * 2 + 2);
    return this.memory;
  }

  #allocate(bytes: number): SharedArrayBuffer {
    try {
      return allocateShared(bytes);
    } catch (error) {
      stopProcess(
        `a SharedArrayBuffer of ${this.bytesMax} bytes is given to another thread: ${(error as Error).message}`,
      );
    }
  }
}

/** The tag of a view: all that a check needs, in one object of one shape. */
export class ViewShadow {
  readonly buffer: BufferShadow;
  /** Indices below it are checked at once. */
  limit = 0;
  readonly base: number;
  /** log2 of an element's size. */
  readonly shift: number;
  /** Bytes of an element at offset 0, and Cell.tear where one may be read or written in parts. */
  readonly mask: number;
  readonly kind: number;
  /** Whether Atomics take it: integers that are not clamped. */
  readonly atomic: boolean;
  cells: Float64Array = none;

  constructor(buffer: BufferShadow, base: number, shift: number, kind: number, atomic: boolean) {
    this.buffer = buffer;
    this.base = base;
    this.shift = shift;
    this.mask = (1 << (1 << shift)) - 1;
    this.kind = kind;
    this.atomic = atomic;
  }
}
