/** Part of a list of memory pieces. Data path. */
import type { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';

/** Makes `out` the `bytes` of `from` that begin at its byte `at`, or as many as `out` has pieces for; how many. */
export function sliceIoVecs(from: IoVecs, at: number, bytes: number, out: IoVecs): number {
  out.reset();
  let skip = at;
  for (let i = 0; i < from.count && out.totalBytes < bytes && !out.full; i++) {
    const here = from.bytes[i];
    if (skip >= here) {
      skip -= here;
      continue;
    }
    const piece = Math.min(here - skip, bytes - out.totalBytes);
    out.push(from.segment[i] as Segment, from.offset[i] + skip, piece);
    skip = 0;
  }
  return out.totalBytes;
}
