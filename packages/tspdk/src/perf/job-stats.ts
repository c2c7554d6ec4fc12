/**
 * What a job counts, in one array: no allocation to count, one copy to send to another core.
 */

/** Places in the array. Times are microseconds of the reactor's clock. */
export const STAT_ISSUED = 0;
export const STAT_COMPLETED = 1;
/** With an error, or with other data than was written. */
export const STAT_FAILED = 2;
export const STAT_TIMEOUTS = 3;
/** By a reset of the disk. */
export const STAT_ABORTED = 4;
export const STAT_RESETS = 5;
export const STAT_LATENCY_SUM = 6;
export const STAT_LATENCY_MIN = 7;
export const STAT_LATENCY_MAX = 8;
export const STAT_START = 9;
export const STAT_END = 10;
const STATS = 11;

/** Nothing counted yet. */
export function newJobStats(): Float64Array {
  const stats = new Float64Array(STATS);
  stats[STAT_LATENCY_MIN] = Number.POSITIVE_INFINITY;
  return stats;
}
