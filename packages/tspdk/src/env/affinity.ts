/**
 * On which cores a thread may run: reading it, and pinning the calling thread to one.
 *
 * A reactor pins its own thread, from that thread. New threads inherit the mask of the thread that starts them (workers, and libuv's pool
 * when its first job comes), so the application reads `allowedCores()` once, before it pins anything, and each worker pins
 * itself. Without FFI nothing is pinned: the program works, the scheduler of the system places the threads, and the reason is given back for the log.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { SpdkError } from './errors.ts';
import { ffi, ffiReason } from './ffi.ts';
import { limits } from './limits.ts';

const MASK_BYTES = limits.cores_max / 8;

/** `"0-2,5"` to `[0, 1, 2, 5]`, the kernel's list form. */
export function parseCoreList(list: string): number[] {
  const cores: number[] = [];
  for (const part of list.trim().split(',')) {
    const [first, last] = part.split('-').map(Number);
    for (let core = first; core <= (last ?? first); core++) cores.push(core);
  }
  return cores;
}

/** Cores the calling thread may run on now, ascending. Where the system does not tell: 0 to the number of cores - 1. */
export function allowedCores(): number[] {
  try {
    const status = readFileSync('/proc/thread-self/status', 'latin1');
    const line = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status);
    if (line !== null) return parseCoreList(line[1]);
  } catch {
    // Not Linux, or no /proc: the count is all there is.
  }
  return Array.from({ length: availableParallelism() }, (_, core) => core);
}

/** What became of a request to pin. */
export interface PinResult {
  readonly pinned: boolean;
  /** Why not; empty when pinned. */
  readonly reason: string;
}

/**
 * Restricts the calling thread to `cores`. Calling thread: the one to be pinned.
 * @throws {SpdkError} EINVAL when a core is outside 0..limits.cores_max-1, or when none of them exists or is allowed.
 */
export function pinThread(cores: readonly number[]): PinResult {
  for (const core of cores) {
    if (!Number.isInteger(core) || core < 0 || core >= limits.cores_max) {
      throw new SpdkError('EINVAL', `core ${core} is outside 0..${limits.cores_max - 1}`);
    }
  }
  if (ffi === null) return { pinned: false, reason: `no FFI (${ffiReason})` };
  const mask = ffi.calloc(MASK_BYTES);
  if (mask === 0) return { pinned: false, reason: 'out of memory' };
  try {
    const bytes = new Uint8Array(ffi.viewOf(mask, MASK_BYTES));
    for (const core of cores) bytes[core >> 3] |= 1 << (core & 7);
    // Process id 0 is the calling thread. The mask is little-endian words: bit n of byte n/8.
    if (ffi.schedSetAffinity(0, MASK_BYTES, mask) === 0) return { pinned: true, reason: '' };
    const errno = ffi.errno();
    if (errno === 22)
      throw new SpdkError('EINVAL', `core ${cores.join(',')}: not there, or not allowed to this process`);
    return { pinned: false, reason: `sched_setaffinity failed with errno ${errno}` };
  } finally {
    ffi.free(mask);
  }
}
