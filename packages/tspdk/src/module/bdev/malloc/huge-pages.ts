/**
 * Asks the kernel to back a memory disk with transparent huge pages, where it grants them on request.
 *
 * Random I/O over hundreds of MiB misses the TLB with 4 KiB pages; the kernel's copies to and from sockets pay for it. It is only advice: nothing
 * depends on the answer, no privilege and no reserved memory is needed.
 */
import { ffi } from '../../../env/ffi.ts';
import type { Segment } from '../../../env/segment.ts';

const MADV_HUGEPAGE = 14;
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

/** Advises for the whole huge pages of the segment. Returns whether the kernel took the advice. */
export function adviseHugePages(segment: Segment): boolean {
  if (ffi === null) return false;
  const from = Math.ceil(segment.address / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
  const to = Math.floor((segment.address + segment.sizeBytes) / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
  return to > from && ffi.madvise(from, to - from, MADV_HUGEPAGE) === 0;
}
