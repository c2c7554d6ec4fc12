/**
 * Deals the pieces of a stripe's write to its strips (SPDK: raid5f_stripe_request_map_iovecs). Data path: the lists are the caller's.
 */

import { EINVAL, ENOMEM } from '../../../bdev/status.ts';
import type { IoVecs } from '../../../env/iovecs.ts';

/**
 * Fills the first `strips` lists of `out` with the pieces of `iovs`, `stripBytes` each, from byte `from` of `iovs` on.
 * @returns 0; -EINVAL when `iovs` is too short, -ENOMEM when a list is; then the lists are empty.
 */
export function mapStripeIovs(
  iovs: IoVecs,
  from: number,
  stripBytes: number,
  strips: number,
  out: readonly IoVecs[],
): number {
  for (let strip = 0; strip < strips; strip++) out[strip].reset();
  if (from + stripBytes * strips > iovs.totalBytes) return EINVAL;
  let piece = 0;
  let skip = from;
  while (piece < iovs.count && skip >= iovs.bytes[piece]) skip -= iovs.bytes[piece++];
  for (let strip = 0; strip < strips; strip++) {
    const list = out[strip];
    for (let left = stripBytes; left > 0; ) {
      const bytes = Math.min(left, iovs.bytes[piece] - skip);
      if (bytes > 0) {
        if (list.full) {
          for (let i = 0; i < strips; i++) out[i].reset();
          return ENOMEM;
        }
        list.push(iovs.segment[piece]!, iovs.offset[piece] + skip, bytes);
      }
      left -= bytes;
      skip += bytes;
      if (skip === iovs.bytes[piece]) {
        piece++;
        skip = 0;
      }
    }
  }
  return 0;
}
