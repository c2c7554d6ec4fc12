/** A range of a disk that is locked, and which I/Os that concerns (SPDK: bdev_io_range_is_locked). Asked by what holds new ones back (gates.ts) and by what awaits those under way (lba-lock.ts). */
import type { BdevIo } from './bdev-io.ts';
import { IO_COMPARE_AND_WRITE, IO_COPY, LOCKED_TYPES } from './io-type.ts';

export interface LockedRange {
  /** The lock's name. */
  readonly ptr: number;
  readonly start: number;
  readonly end: number;
  /** Reads wait too. */
  readonly quiesce: boolean;
}

export function overlap(a: LockedRange, b: LockedRange): boolean {
  return a.start < b.end && b.start < a.end;
}

/** Types that a lock holds back on a disk whose module takes `own`: a compare-and-write of the layer takes a lock itself. */
export function lockedTypes(own: number): number {
  return LOCKED_TYPES | (own & (1 << IO_COMPARE_AND_WRITE));
}

/** Whether `io`, whose place in the disk is `at`, must not go on while `range` is locked. `types`: of `lockedTypes`. Data path. */
export function isHeldBy(io: BdevIo, at: number, { start, end, quiesce }: LockedRange, types: number): boolean {
  if (!quiesce && (types & (1 << io.type)) === 0) return false;
  if (reaches(io, at, start, end)) return true;
  return quiesce && io.type === IO_COPY && reaches(io, io.sourceOffset, start, end);
}

function reaches({ bytes }: BdevIo, from: number, start: number, end: number): boolean {
  return from < end && from + bytes > start;
}
