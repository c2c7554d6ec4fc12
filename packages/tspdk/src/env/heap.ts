/**
 * The shared heap: small blocks that any core may read and only their owner may free.
 *
 * The rule that the kit was made for: memory goes home. A pointer is a byte offset into one SharedArrayBuffer (0 is null).
 * Blocks come from slabs; a slab belongs to one core for the life of the heap; `alloc` and `free` run on that core and
 * touch no atomics. `free` anywhere else throws EOWNER, always: it costs one compare. `release` is the way home from
 * anywhere: it marks the block and sends it to its owner's mailbox.
 *
 *   buffer   | head 64 B | slab owner words | slab class words | pad | slab 0 (64 KiB) | slab 1 | ...
 *   block    | state | owner core | site id | next free or bytes | payload ...        16-byte header; ptr names the payload
 *
 * Why no atomics are needed on `state` in alloc/free: only the owner writes it, but for `release`, which moves
 * ALLOCATED to RELEASED by compare-and-exchange, so that of two cores releasing one block exactly one succeeds. The
 * owner meets a released block only through its mailbox, whose publish orders the accesses. The slab's owner word is
 * written once, before the first pointer into the slab exists.
 */
import { type AllocSite, allocSiteName, callerOf } from './alloc-site.ts';
import { assert, SpdkError } from './errors.ts';
import { limits } from './limits.ts';
import { sanitizer } from './sanitizer.ts';

declare const ptrBrand: unique symbol;
/** Byte offset of a block's payload in the shared heap; 0 is null. Always a multiple of 16. */
export type Ptr = number & { readonly [ptrBrand]?: true };

const HEADER = 16;
const SLAB = limits.heap_slab_bytes;
const CLASS_SHIFT_MIN = 5;
const CLASSES = 12;
const NEXT_SLAB = 0;

const STATE_FREE = 0x46524545 | 0;
const STATE_ALLOCATED = 0x414c4c4f | 0;
const STATE_RELEASED = 0x52454c45 | 0;

/** What a heap's memory looks like to every core. */
export interface HeapMemory {
  readonly buffer: SharedArrayBuffer;
  readonly slabs: number;
}

/** Allocates the memory of a heap of `bytes` (rounded up to whole slabs). */
export function createHeapMemory(bytes: number = limits.heap_bytes): HeapMemory {
  const slabs = Math.ceil(bytes / SLAB);
  return { buffer: new SharedArrayBuffer(slabBase(slabs) + slabs * SLAB), slabs };
}

function slabBase(slabs: number): number {
  return (64 + slabs * 8 + 63) & ~63;
}

/** What one core still holds, by allocation site. */
export interface HeldBlocks {
  readonly site: string;
  readonly blocks: number;
  readonly bytes: number;
}

/** One core's hold on the shared heap. Only that core's thread may call, except `ownerOf` and the views. */
export class Heap {
  readonly core: number;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly u8: Uint8Array;
  /** Sends a released block home; set by the reactor. */
  sendHome: (owner: number, ptr: Ptr) => void = (owner) => {
    throw new SpdkError('EINVAL', `this heap of core ${this.core} has no way to core ${owner}`);
  };
  /** Blocks that this core has allocated and not got back. */
  blocks = 0;
  readonly #slabs: number;
  readonly #base: number;
  /** Word index of the slab tables. */
  readonly #owners: number;
  readonly #classes: number;
  readonly #freeHead = new Int32Array(CLASSES);

  constructor(memory: HeapMemory, core: number) {
    this.core = core;
    this.#slabs = memory.slabs;
    this.#base = slabBase(memory.slabs);
    this.#owners = 16;
    this.#classes = 16 + memory.slabs;
    this.i32 = new Int32Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.f64 = new Float64Array(memory.buffer);
    this.u8 = new Uint8Array(memory.buffer);
  }

  /**
   * A zeroed block of at least `bytes`, 16-byte aligned, owned by this core.
   * @throws {SpdkError} EINVAL for a size out of range; ENOMEM when no slab is left.
   */
  alloc(bytes: number, site: AllocSite): Ptr {
    if (!(bytes > 0 && bytes <= limits.heap_block_bytes_max - HEADER)) {
      throw new SpdkError(
        'EINVAL',
        `heap block "${site.name}" of ${bytes} bytes, limit 1 to ${limits.heap_block_bytes_max - HEADER}`,
      );
    }
    if (site.id === 0) site.resolve(new Error().stack);
    const shift = Math.max(CLASS_SHIFT_MIN, 32 - Math.clz32(bytes + HEADER - 1));
    const cls = shift - CLASS_SHIFT_MIN;
    let block = this.#freeHead[cls] as number;
    if (block === 0) block = this.#growClass(cls, site);
    const w = block >> 2;
    const i32 = this.i32;
    assert(i32[w] === STATE_FREE, 'a block on the free list is free');
    this.#freeHead[cls] = i32[w + 3] as number;
    i32[w] = STATE_ALLOCATED;
    i32[w + 1] = this.core;
    i32[w + 2] = site.id;
    i32[w + 3] = bytes;
    if (sanitizer !== null) sanitizer.alloc('shared', site.name, this.u8, block + HEADER, bytes);
    const first = w + 4;
    i32.fill(0, first, first + ((bytes + 3) >> 2));
    this.blocks++;
    return (block + HEADER) as Ptr;
  }

  /**
   * Gives a block back. Owner's core only.
   * @throws {SpdkError} EOWNER on another core, EDOUBLEFREE, EBADPTR.
   */
  free(ptr: Ptr): void {
    const w = this.#headerOf(ptr, 'free');
    const owner = this.i32[w + 1] as number;
    if (owner !== this.core || this.i32[w] !== STATE_ALLOCATED) throw this.#refused(ptr, w, owner);
    this.#put(w);
  }

  /**
   * Gives a block back from any core: on its owner's core it is freed, from elsewhere it is sent home.
   * The caller must not touch it afterwards.
   * @throws {SpdkError} EDOUBLEFREE, EBADPTR.
   */
  release(ptr: Ptr): void {
    const w = this.#headerOf(ptr, 'release');
    if (Atomics.compareExchange(this.i32, w, STATE_ALLOCATED, STATE_RELEASED) !== STATE_ALLOCATED) {
      throw this.#notAllocated(ptr, w, 'release');
    }
    const owner = this.i32[w + 1] as number;
    if (owner === this.core) this.#put(w);
    else this.sendHome(owner, ptr);
  }

  /** A released block arrived at its owner: the mailbox's handler calls this. */
  receive(ptr: Ptr): void {
    const w = this.#headerOf(ptr, 'receive');
    assert(this.i32[w + 1] === this.core, `block ${ptr} came home to core ${this.core}`);
    assert(this.i32[w] === STATE_RELEASED, `block ${ptr} comes home released`);
    this.#put(w);
  }

  /** The core that allocated `ptr`. Any core. @throws {SpdkError} EBADPTR. */
  ownerOf(ptr: Ptr): number {
    return this.i32[this.#headerOf(ptr, 'ownerOf') + 1] as number;
  }

  /** What this core has allocated and not got back, by place of allocation. Empty is what an app must reach at its end. */
  held(): HeldBlocks[] {
    const bySite = new Map<number, { blocks: number; bytes: number }>();
    for (let slab = 0; slab < this.#slabs; slab++) {
      if (Atomics.load(this.i32, this.#owners + slab) !== this.core + 1) continue;
      const size = 1 << ((this.i32[this.#classes + slab] as number) + CLASS_SHIFT_MIN);
      for (let at = 0; at < SLAB; at += size) {
        const w = (this.#base + slab * SLAB + at) >> 2;
        if (this.i32[w] !== STATE_ALLOCATED && this.i32[w] !== STATE_RELEASED) continue;
        const site = this.i32[w + 2] as number;
        const sum = bySite.get(site) ?? { blocks: 0, bytes: 0 };
        bySite.set(site, { blocks: sum.blocks + 1, bytes: sum.bytes + (this.i32[w + 3] as number) });
      }
    }
    return [...bySite].map(([site, sum]) => ({ site: allocSiteName(site), ...sum }));
  }

  #put(w: number): void {
    if (sanitizer !== null) sanitizer.free(this.u8, (w << 2) + HEADER);
    const cls = this.i32[this.#classes + Math.floor((w * 4 - this.#base) / SLAB)] as number;
    this.i32[w] = STATE_FREE;
    this.i32[w + 3] = this.#freeHead[cls] as number;
    this.#freeHead[cls] = w << 2;
    this.blocks--;
  }

  /** Takes the next slab of the shared heap and threads its blocks on the free list. */
  #growClass(cls: number, site: AllocSite): number {
    const slab = Atomics.add(this.i32, NEXT_SLAB, 1);
    if (slab >= this.#slabs) {
      Atomics.sub(this.i32, NEXT_SLAB, 1);
      throw new SpdkError(
        'ENOMEM',
        `shared heap exhausted on core ${this.core} for "${site.name}": all ${this.#slabs} slabs of ${SLAB} bytes are in use`,
      );
    }
    const size = 1 << (cls + CLASS_SHIFT_MIN);
    const start = this.#base + slab * SLAB;
    this.i32[this.#classes + slab] = cls;
    let next = 0;
    for (let at = SLAB - size; at >= 0; at -= size) {
      const w = (start + at) >> 2;
      this.i32[w] = STATE_FREE;
      this.i32[w + 1] = this.core;
      this.i32[w + 3] = next;
      next = start + at;
    }
    Atomics.store(this.i32, this.#owners + slab, this.core + 1);
    this.#freeHead[cls] = next;
    return next;
  }

  /** Word index of the header, after every check that a pointer can be put to. */
  #headerOf(ptr: Ptr, verb: string): number {
    const block = ptr - HEADER;
    const slab = Math.floor((block - this.#base) / SLAB);
    if (!Number.isInteger(ptr) || slab < 0 || slab >= this.#slabs) {
      throw new SpdkError('EBADPTR', `${verb}(${ptr}) on core ${this.core}: outside the shared heap`);
    }
    if (Atomics.load(this.i32, this.#owners + slab) === 0) {
      throw new SpdkError('EBADPTR', `${verb}(${ptr}) on core ${this.core}: nothing was ever allocated there`);
    }
    const size = 1 << ((this.i32[this.#classes + slab] as number) + CLASS_SHIFT_MIN);
    if ((block - this.#base) % size !== 0) {
      throw new SpdkError('EBADPTR', `${verb}(${ptr}) on core ${this.core}: points inside a block of ${size} bytes`);
    }
    return block >> 2;
  }

  #refused(ptr: Ptr, w: number, owner: number): SpdkError {
    // Refused or not, it is what the program did.
    if (sanitizer !== null) sanitizer.free(this.u8, ptr, true);
    return owner === this.core ? this.#notAllocated(ptr, w, 'free') : this.#wrongOwner(ptr, w, owner);
  }

  #wrongOwner(ptr: Ptr, w: number, owner: number): SpdkError {
    return new SpdkError(
      'EOWNER',
      `free(${ptr}) on core ${this.core}: the block belongs to core ${owner}; ` +
        `allocated by ${allocSiteName(this.i32[w + 2] as number)}, freed by ${callerOf(new Error().stack)}. ` +
        'Free it on its owner, or use release() to send it home.',
    );
  }

  #notAllocated(ptr: Ptr, w: number, verb: string): SpdkError {
    const site = this.i32[w + 2] as number;
    const here = callerOf(new Error().stack);
    if (site === 0) {
      return new SpdkError('EBADPTR', `${verb}(${ptr}) on core ${this.core} by ${here}: never allocated`);
    }
    return new SpdkError(
      'EDOUBLEFREE',
      `${verb}(${ptr}) on core ${this.core} by ${here}: already given back; it was allocated by ${allocSiteName(site)}`,
    );
  }
}
