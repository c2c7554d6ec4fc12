/**
 * What a reactor has done: the figures behind framework_get_reactors.
 */

/** Counters of one reactor, times in µs. */
export interface ReactorStats {
  busyUs: number;
  idleUs: number;
  turns: number;
  events: number;
}
