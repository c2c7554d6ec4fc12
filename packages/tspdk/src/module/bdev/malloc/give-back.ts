/**
 * Zeroes a range of a memory disk by giving its whole pages back to the system, where that works; else by writing zeroes.
 *
 * Private anonymous memory reads as zeroes after MADV_DONTNEED. Whether a SharedArrayBuffer is such memory is the engine's business, so it is tried
 * out once in each isolate, on a buffer made for it, before any disk relies on it.
 */
import { ffi } from '../../../env/ffi.ts';
import { fillBytes, makeSegment, type Segment } from '../../../env/segment.ts';

const MADV_DONTNEED = 4;
const PAGE_BYTES = 4096;
/** Below this a memset is cheaper than the call and the page faults after it. */
const GIVE_BACK_BYTES_MIN = 64 * 1024;
const PROBE_BYTES = 1024 * 1024;

let works: boolean | null = null;

/** Whether pages can be given back here. */
export function canGiveBack(): boolean {
  works ??= probe();
  return works;
}

function probe(): boolean {
  if (ffi === null) return false;
  const segment = makeSegment(0, new SharedArrayBuffer(PROBE_BYTES));
  segment.u8.fill(1);
  const from = PAGE_BYTES - (segment.address % PAGE_BYTES);
  if (ffi.madvise(segment.address + from, PROBE_BYTES / 2, MADV_DONTNEED) !== 0) return false;
  const given = segment.u8.subarray(from, from + PROBE_BYTES / 2);
  return given.every((byte) => byte === 0) && segment.u8[from - 1] === 1 && segment.u8[from + PROBE_BYTES / 2] === 1;
}

/** The range reads as zeroes afterwards, and as much of it as possible takes no memory. */
export function giveBack(segment: Segment, offset: number, bytes: number): void {
  if (bytes < GIVE_BACK_BYTES_MIN || !canGiveBack()) {
    fillBytes(segment, offset, bytes, 0);
    return;
  }
  const from = Math.ceil((segment.address + offset) / PAGE_BYTES) * PAGE_BYTES - segment.address;
  const to = Math.floor((segment.address + offset + bytes) / PAGE_BYTES) * PAGE_BYTES - segment.address;
  if ((ffi as NonNullable<typeof ffi>).madvise(segment.address + from, to - from, MADV_DONTNEED) !== 0) {
    fillBytes(segment, offset, bytes, 0);
    return;
  }
  fillBytes(segment, offset, from - offset, 0);
  fillBytes(segment, to, offset + bytes - to, 0);
}
