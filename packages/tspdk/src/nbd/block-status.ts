/**
 * The reply to BLOCK_STATUS in the context `base:allocation`: extents of the disk as wire descriptors.
 *
 * There is always at least one, there may be fewer than the range would need (the client asks again from where we stopped), and none
 * reaches beyond the range. The block layer's extent flags are the protocol's bits. Runs on the connection's reactor.
 */
import type { Extents } from '../bdev/index.ts';
import { ALLOCATION_CONTEXT_ID } from './negotiate.ts';
import { CHUNK_BYTES, STATE_HOLE, STATE_ZERO } from './wire.ts';

const DESCRIPTOR_BYTES = 8;
const CONTEXT_BYTES = 4;
/** Descriptors of one reply at most. */
export const DESCRIPTORS_MAX = 256;
/** Room a reply needs, its header included, so that it can say something useful. */
export const STATUS_BYTES_MIN = CHUNK_BYTES + CONTEXT_BYTES + 32 * DESCRIPTOR_BYTES;

/**
 * Writes context id and descriptors at `at`, below `end`; returns their size in bytes.
 * `bytes` is the length of the range, 1 to 2^32 - 1. A disk that told nothing gets flags 0, which are always true.
 */
export function writeStatus(
  view: DataView,
  at: number,
  end: number,
  extents: Extents,
  bytes: number,
  oneOnly: boolean,
): number {
  view.setUint32(at, ALLOCATION_CONTEXT_ID);
  const room = oneOnly ? 1 : Math.floor((end - at - CONTEXT_BYTES) / DESCRIPTOR_BYTES);
  let to = at + CONTEXT_BYTES;
  let left = bytes;
  for (let i = 0; i < extents.count && i < room && left > 0; i++) {
    const length = Math.min(extents.bytes[i], left);
    view.setUint32(to, length);
    view.setUint32(to + 4, extents.flags[i] & (STATE_HOLE | STATE_ZERO));
    left -= length;
    to += DESCRIPTOR_BYTES;
  }
  if (left === bytes) {
    view.setUint32(to, bytes);
    view.setUint32(to + 4, 0);
    to += DESCRIPTOR_BYTES;
  }
  return to - at;
}
