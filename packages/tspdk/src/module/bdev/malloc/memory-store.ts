/**
 * Bytes of a memory disk: shared segments, one after the other, that every reactor knows. Reads as zeroes where nothing was written.
 */
import { dropSegment, shareSegment } from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { IovCursor } from '../../../env/iov-cursor.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import { limits } from '../../../env/limits.ts';
import { sanitizer } from '../../../env/sanitizer.ts';
import { copyBytes, fillBytes, type Segment } from '../../../env/segment.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { giveBack } from './give-back.ts';

export const SEGMENT_BYTES = limits.bdev_malloc_segment_bytes;

/** Segments that memory disks have, or are about to have. App core. */
export const memorySegments = localKey('bdev_malloc_segments', () => ({ count: 0 }));

/** Takes memory, on the app core; the ids of its segments. @throws {SpdkError} ENOMEM */
export async function takeMemory(reactor: Reactor, sizeBytes: number): Promise<number[]> {
  const segments: number[] = [];
  const all = reactor.local(memorySegments);
  const wanted = Math.ceil(sizeBytes / SEGMENT_BYTES);
  const most = limits.bdev_malloc_segments_max;
  if (all.count + wanted > most) {
    const limit = `with ${all.count} that are there, limit ${most}`;
    throw new SpdkError('ENOMEM', `${sizeBytes} bytes of memory are ${wanted} segments, ${limit}`);
  }
  all.count += wanted;
  try {
    for (let left = sizeBytes; left > 0; left -= SEGMENT_BYTES) {
      const id = await shareSegment(reactor, Math.min(left, SEGMENT_BYTES), false);
      segments.push(id);
      const { sab } = reactor.segments.get(id);
      sanitizer?.benign(
        sab,
        0,
        sab.byteLength,
        'what is under way to one block at once, and in which order, is up to initiators',
      );
    }
  } catch (error) {
    all.count -= wanted - segments.length;
    await dropMemory(reactor, segments);
    throw error;
  }
  return segments;
}

export async function dropMemory(reactor: Reactor, segments: readonly number[]): Promise<void> {
  for (const id of segments) await dropSegment(reactor, id);
  reactor.local(memorySegments).count -= segments.length;
}

export class MemoryStore {
  readonly #segments: readonly Segment[];

  constructor(reactor: Reactor, segments: readonly number[]) {
    this.#segments = segments.map((id) => reactor.segments.get(id));
  }

  /** Appends where the range lies; false when `out` has no room. */
  pieces(byteOffset: number, bytes: number, out: IoVecs): boolean {
    const first = Math.floor(byteOffset / SEGMENT_BYTES);
    const last = Math.floor((byteOffset + bytes - 1) / SEGMENT_BYTES);
    if (out.count + last - first + 1 > out.capacity) return false;
    let at = byteOffset - first * SEGMENT_BYTES;
    for (let i = first; i <= last; i++) {
      const piece = Math.min(bytes, SEGMENT_BYTES - at);
      out.push(this.#segments[i], at, piece);
      bytes -= piece;
      at = 0;
    }
    return true;
  }

  /** Copies between the store at `at` and one piece of memory. */
  copy(toStore: boolean, at: number, segment: Segment, offset: number, bytes: number): void {
    let index = Math.floor(at / SEGMENT_BYTES);
    let within = at - index * SEGMENT_BYTES;
    while (bytes > 0) {
      const piece = Math.min(bytes, SEGMENT_BYTES - within);
      const own = this.#segments[index];
      if (toStore) copyBytes(own, within, segment, offset, piece);
      else copyBytes(segment, offset, own, within, piece);
      bytes -= piece;
      offset += piece;
      within = 0;
      index++;
    }
  }

  /** Copies within the store; the ranges do not overlap. */
  copyWithin(to: number, from: number, bytes: number): void {
    while (bytes > 0) {
      const index = Math.floor(from / SEGMENT_BYTES);
      const within = from - index * SEGMENT_BYTES;
      const piece = Math.min(bytes, SEGMENT_BYTES - within);
      this.copy(true, to, this.#segments[index], within, piece);
      to += piece;
      from += piece;
      bytes -= piece;
    }
  }

  /** Copies between the store at `at` and the next `bytes` of a list, which moves on. */
  copyList(toStore: boolean, at: number, cursor: IovCursor, bytes: number): void {
    while (bytes > 0) {
      const piece = Math.min(bytes, cursor.bytes);
      this.copy(toStore, at, cursor.segment, cursor.offset, piece);
      cursor.advance(piece);
      at += piece;
      bytes -= piece;
    }
  }

  /** As `copyList`, with every bit the other way round in the store. For a few bytes. */
  copyListInverted(toStore: boolean, at: number, cursor: IovCursor, bytes: number): void {
    while (bytes > 0) {
      const index = Math.floor(at / SEGMENT_BYTES);
      const within = at - index * SEGMENT_BYTES;
      const piece = Math.min(bytes, cursor.bytes, SEGMENT_BYTES - within);
      const own = this.#segments[index].u8;
      const { offset } = cursor;
      const other = cursor.segment.u8;
      if (toStore) for (let i = 0; i < piece; i++) own[within + i] = ~other[offset + i];
      else for (let i = 0; i < piece; i++) other[offset + i] = ~own[within + i];
      cursor.advance(piece);
      at += piece;
      bytes -= piece;
    }
  }

  /** Zeroes, over any number of segments; `keep`: the memory stays taken. */
  zero(at: number, bytes: number, keep: boolean): void {
    while (bytes > 0) {
      const index = Math.floor(at / SEGMENT_BYTES);
      const within = at - index * SEGMENT_BYTES;
      const piece = Math.min(bytes, SEGMENT_BYTES - within);
      if (keep) fillBytes(this.#segments[index], within, piece, 0);
      else giveBack(this.#segments[index], within, piece);
      at += piece;
      bytes -= piece;
    }
  }
}
