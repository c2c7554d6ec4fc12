/**
 * What the kit tells a sanitizer that watches the process: @tspdk/tsan finds this out of order, on the wrong core, or too late.
 *
 * Neither package depends on the other. A sanitizer leaves its port under a symbol of the global object before the kit is loaded; where there
 * is none, `sanitizer` is null, for good, and what is left of an annotation is a test of a constant. Annotations only tell: nothing in the kit may
 * behave differently because somebody watches. Accesses in JavaScript are seen without them; told is what is not: who owns a block, who holds
 * a lock, and memory that a native call or the kernel reads or writes by its address.
 */

/** Views, and the memory behind them. */
type Shared = ArrayBufferView | SharedArrayBuffer;

/**
 * The part of the port (version 1) that the kit uses.
 * Kinds of block: `shared` is touched by any thread and freed by its owner; `pool` is touched and freed by any. Offsets and sizes are bytes.
 */
export interface Sanitizer {
  alloc(kind: 'shared' | 'pool', name: string, memory: Shared, offset: number, size: number): void;
  /** `refused`: it is an error, and the block has not been taken back. */
  free(memory: Shared, offset: number, refused?: boolean): void;
  foreignRead(memory: Shared, from: number, to: number): void;
  foreignWrite(memory: Shared, from: number, to: number): void;
  /** Races on these bytes are meant, and why. */
  benign(memory: Shared, from: number, to: number, why: string): void;
  lockCreated(words: Int32Array, index: number, name: string): void;
  /** Which locks are taken while others are held; not whether this thread waits. */
  lockAcquiring(words: Int32Array, index: number): void;
  lockAcquired(words: Int32Array, index: number): void;
  lockReleasing(words: Int32Array, index: number): void;
  lockDestroyed(words: Int32Array, index: number): void;
}

/** The port of the sanitizer that watches this thread; null where none does. */
export const sanitizer: Sanitizer | null =
  (globalThis as { [key: symbol]: Sanitizer | undefined })[Symbol.for('tspdk.sanitizer')] ?? null;

/** Memory that native calls and the kernel know by its address. */
interface Mapped {
  readonly address: number;
  readonly u8: Uint8Array;
}

const mapped: Mapped[] = [];

/** From now on `u8` is meant where an address from `address` on is told. */
export function tellMapped(address: number, u8: Uint8Array): void {
  if (sanitizer === null || address === 0) return;
  const at = mapped.findIndex((each) => each.address === address);
  mapped.splice(at < 0 ? mapped.length : at, 1, { address, u8 });
}

/**
 * The kernel, or a native call, reads `bytes` at `address`, or writes them, from now until this thread learns that it is done. An access of another
 * thread in between is a race with this one's.
 */
export function tellForeign(address: number, bytes: number, writes: boolean): void {
  if (sanitizer === null) return;
  for (const { address: first, u8 } of mapped) {
    const from = address - first;
    if (from < 0 || from >= u8.byteLength) continue;
    const to = Math.min(from + bytes, u8.byteLength);
    if (writes) sanitizer.foreignWrite(u8, from, to);
    else sanitizer.foreignRead(u8, from, to);
    return;
  }
}
