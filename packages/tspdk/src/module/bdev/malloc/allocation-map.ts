/**
 * Which 64 KiB chunks of a memory disk have been written: one bit each, shared by all cores, for block status.
 *
 * Conservative: a set bit may stand for zeroes, a clear bit never for data. Two cores may write and unmap in one chunk at once; the order of
 * steps keeps the promise: a writer sets the bit after it has copied, an unmap clears the bits before it zeroes. Whatever
 * the interleaving, a bit that ends up clear was cleared after the copy, so zeroing came after the copy too.
 */
import type { Extents } from '../../../bdev/extents.ts';
import { EXTENT_HOLE, EXTENT_ZERO } from '../../../bdev/extents.ts';

export const CHUNK_BYTES = 64 * 1024;

export function allocationMapBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / CHUNK_BYTES / 32) * 4;
}

export class AllocationMap {
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
  }

  /** Data has been written there. */
  set(byteOffset: number, bytes: number): void {
    const last = Math.floor((byteOffset + bytes - 1) / CHUNK_BYTES);
    for (let chunk = Math.floor(byteOffset / CHUNK_BYTES); chunk <= last; chunk++) {
      const word = chunk >>> 5;
      const bit = 1 << (chunk & 31);
      if ((Atomics.load(this.#words, word) & bit) === 0) Atomics.or(this.#words, word, bit);
    }
  }

  /** The range is about to be zeroed: chunks that lie wholly inside are empty from now on. */
  clear(byteOffset: number, bytes: number): void {
    const end = Math.floor((byteOffset + bytes) / CHUNK_BYTES);
    for (let chunk = Math.ceil(byteOffset / CHUNK_BYTES); chunk < end; chunk++) {
      Atomics.and(this.#words, chunk >>> 5, ~(1 << (chunk & 31)));
    }
  }

  isSet(byteOffset: number): boolean {
    const chunk = Math.floor(byteOffset / CHUNK_BYTES);
    return (Atomics.load(this.#words, chunk >>> 5) & (1 << (chunk & 31))) !== 0;
  }

  /** Appends the extents of the range, as many as have room. */
  extents(byteOffset: number, bytes: number, out: Extents): void {
    const end = byteOffset + bytes;
    for (let at = byteOffset; at < end; ) {
      const next = Math.min(end, (Math.floor(at / CHUNK_BYTES) + 1) * CHUNK_BYTES);
      if (!out.push(next - at, this.isSet(at) ? 0 : EXTENT_HOLE | EXTENT_ZERO)) return;
      at = next;
    }
  }
}
