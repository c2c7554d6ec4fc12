/**
 * The end of the process without waiting for anybody.
 *
 * process.exit waits for the worker threads, and one that is inside a library that waits for a cluster or a device does not end. So where native code can be
 * called, it is what ends the process, after the listeners of 'exit' have had their turn.
 */
import { ffi } from './ffi.ts';

/** Main thread only. */
export function exitNow(code: number): never {
  if (ffi !== null) process.once('exit', () => ffi?.exit(Number(process.exitCode)));
  process.exit(code);
}
