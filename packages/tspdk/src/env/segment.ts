/**
 * Memory for I/O data: large SharedArrayBuffers that every reactor knows under the same number.
 *
 * A place in them is (segment, offset), two things that can cross cores as integers. With FFI a segment also has an address, which is
 * what the kernel and memcpy get; a SharedArrayBuffer never moves, and every isolate sees it at the same address.
 * A SegmentTable belongs to one reactor; so do its Segment objects. Who may touch which bytes is decided by the layers above: here
 * only bounds are checked, always, since a copy by address past the end would not throw but corrupt.
 */
import { SpdkError } from './errors.ts';
import { ffi } from './ffi.ts';
import { sanitizer, tellMapped } from './sanitizer.ts';

/** One shared buffer as one reactor sees it. */
export interface Segment {
  /** The same number on every reactor of the application. */
  readonly id: number;
  readonly sab: SharedArrayBuffer;
  readonly u8: Uint8Array;
  /** For words at any offset. */
  readonly view: DataView;
  /** Whole words only: an offset counts four bytes. */
  readonly i32: Int32Array;
  /** Virtual address of the first byte, the same on every core; 0 without FFI. */
  readonly address: number;
  readonly sizeBytes: number;
  /** Its pages stay the same as long as it is attached: the kernel may pin them. */
  readonly pinnable: boolean;
  /** The tables of the ring that `fixed` is about; null: of none yet. Reactors of one isolate, in tests, may share the object. Set by env/uring/fixed.ts. */
  fixedBy: unknown;
  /** What this reactor's ring knows of it: one more than its number there; 0: not tried; negative: in vain. Set by env/uring/fixed.ts. */
  fixed: number;
}

/** A Segment over `sab` that belongs to no table: for tests, and for memory that stays on one reactor. */
export function makeSegment(id: number, sab: SharedArrayBuffer, pinnable = false): Segment {
  const u8 = new Uint8Array(sab);
  const address = ffi === null ? 0 : ffi.addressOf(u8);
  if (sanitizer !== null) tellMapped(address, u8);
  const view = new DataView(sab);
  const i32 = new Int32Array(sab, 0, sab.byteLength >>> 2);
  return { id, sab, u8, view, i32, address, sizeBytes: sab.byteLength, pinnable, fixedBy: null, fixed: 0 };
}

/** First offset in `segment`, from `from` on, whose address is a multiple of `alignBytes` (O_DIRECT). */
export function alignedOffset(segment: Segment, alignBytes: number, from = 0): number {
  const rest = (segment.address + from) % alignBytes;
  return rest === 0 ? from : from + alignBytes - rest;
}

/** The segments one reactor knows. */
export class SegmentTable {
  readonly #segments = new Map<number, Segment>();
  /** A segment is forgotten. Set by who has told the kernel of it. */
  onDetach: (segment: Segment) => void = () => {};

  /**
   * @param pinnable false for memory whose pages are given back to the system
   * @throws {SpdkError} EEXIST when the number is in use.
   */
  attach(id: number, sab: SharedArrayBuffer, pinnable = true): Segment {
    if (this.#segments.has(id)) throw new SpdkError('EEXIST', `segment ${id} is already attached`);
    const segment = makeSegment(id, sab, pinnable);
    this.#segments.set(id, segment);
    return segment;
  }

  /** @throws {SpdkError} ENOENT when it is not attached. */
  get(id: number): Segment {
    const segment = this.#segments.get(id);
    if (segment === undefined) throw new SpdkError('ENOENT', `segment ${id} is not attached`);
    return segment;
  }

  /** Forgets the segment. Nobody may use its memory any more. @throws {SpdkError} ENOENT */
  detach(id: number): void {
    const segment = this.get(id);
    this.#segments.delete(id);
    this.onDetach(segment);
  }

  get count(): number {
    return this.#segments.size;
  }
}

/** Below this a loop of bytes beats a native call. */
const LOOP_BYTES_MAX = 32;
/** A native call takes a length of 31 bits; larger ranges go in pieces of this. */
const NATIVE_BYTES_MAX = 0x100000;

function outside(segment: Segment, offset: number, bytes: number): SpdkError {
  return new SpdkError(
    'ERANGE',
    `segment ${segment.id}: ${bytes} bytes at ${offset} leave its ${segment.sizeBytes} bytes`,
  );
}

/**
 * Copies `bytes` between segments; ranges may overlap. Other cores see the bytes after the next event or atomic that orders them.
 * @throws {SpdkError} ERANGE when either range leaves its segment.
 */
export function copyBytes(dst: Segment, dstOffset: number, src: Segment, srcOffset: number, bytes: number): void {
  if (!(dstOffset >= 0 && bytes >= 0 && dstOffset + bytes <= dst.sizeBytes)) throw outside(dst, dstOffset, bytes);
  if (!(srcOffset >= 0 && srcOffset + bytes <= src.sizeBytes)) throw outside(src, srcOffset, bytes);
  if (ffi !== null && bytes >= LOOP_BYTES_MAX) {
    if (sanitizer !== null) {
      sanitizer.foreignRead(src.u8, srcOffset, srcOffset + bytes);
      sanitizer.foreignWrite(dst.u8, dstOffset, dstOffset + bytes);
    }
    if (bytes <= NATIVE_BYTES_MAX) ffi.memmove(dst.address + dstOffset, src.address + srcOffset, bytes);
    else copyLarge(dst, dstOffset, src, srcOffset, bytes);
  } else if (bytes >= LOOP_BYTES_MAX) {
    if (dst.sab === src.sab) dst.u8.copyWithin(dstOffset, srcOffset, srcOffset + bytes);
    else dst.u8.set(src.u8.subarray(srcOffset, srcOffset + bytes), dstOffset);
  } else if (dst.sab === src.sab && dstOffset > srcOffset) {
    for (let at = bytes - 1; at >= 0; at--) dst.u8[dstOffset + at] = src.u8[srcOffset + at];
  } else {
    for (let at = 0; at < bytes; at++) dst.u8[dstOffset + at] = src.u8[srcOffset + at];
  }
}

function copyLarge(dst: Segment, dstOffset: number, src: Segment, srcOffset: number, bytes: number): void {
  // Pieces go from the end when the target lies above the source, so that an overlap is not overwritten before it is read.
  const down = dst.address + dstOffset > src.address + srcOffset;
  for (let done = 0; done < bytes; ) {
    const piece = Math.min(NATIVE_BYTES_MAX, bytes - done);
    const at = down ? bytes - done - piece : done;
    ffi!.memmove(dst.address + dstOffset + at, src.address + srcOffset + at, piece);
    done += piece;
  }
}

/**
 * Sets `bytes` of a segment to `value` (0 to 255).
 * @throws {SpdkError} ERANGE when the range leaves the segment.
 */
export function fillBytes(dst: Segment, offset: number, bytes: number, value: number): void {
  if (!(offset >= 0 && bytes >= 0 && offset + bytes <= dst.sizeBytes)) throw outside(dst, offset, bytes);
  if (ffi === null || bytes < LOOP_BYTES_MAX) {
    dst.u8.fill(value, offset, offset + bytes);
    return;
  }
  if (sanitizer !== null) sanitizer.foreignWrite(dst.u8, offset, offset + bytes);
  for (let done = 0; done < bytes; done += NATIVE_BYTES_MAX) {
    ffi.memset(dst.address + offset + done, value, Math.min(NATIVE_BYTES_MAX, bytes - done));
  }
}
