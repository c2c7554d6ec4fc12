/**
 * What a job does to its disk, by the names that bdevperf gives it (SPDK: examples/bdev/bdevperf, -w).
 */
import { IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE, IO_WRITE_ZEROES } from '../bdev/index.ts';

export interface Workload {
  /** IO_* of every I/O; of a mixture, what it needs beyond reading. */
  readonly type: number;
  /** Places are drawn; else they follow each other, and the first comes after the last. */
  readonly random: boolean;
  /** Reads and writes, as the mix says. */
  readonly mixed: boolean;
  /** What was written is read back and compared. */
  readonly verify: boolean;
  /** The disk is reset again and again under the I/O. */
  readonly reset: boolean;
  /** Help text. */
  readonly summary: string;
}

const plain = { random: false, mixed: false, verify: false, reset: false };

/** In the order of help. */
export const WORKLOADS = {
  read: { ...plain, type: IO_READ, summary: 'reads, one place after the other' },
  write: { ...plain, type: IO_WRITE, summary: 'writes, one place after the other' },
  randread: { ...plain, type: IO_READ, random: true, summary: 'reads anywhere' },
  randwrite: { ...plain, type: IO_WRITE, random: true, summary: 'writes anywhere' },
  rw: { ...plain, type: IO_WRITE, mixed: true, summary: 'reads and writes, one place after the other' },
  randrw: { ...plain, type: IO_WRITE, mixed: true, random: true, summary: 'reads and writes anywhere' },
  verify: { ...plain, type: IO_WRITE, verify: true, summary: 'writes, reads back and compares' },
  reset: {
    ...plain,
    type: IO_WRITE,
    mixed: true,
    random: true,
    reset: true,
    summary: 'reads and writes anywhere while the disk is reset',
  },
  unmap: { ...plain, type: IO_UNMAP, summary: 'unmaps, one place after the other' },
  flush: { ...plain, type: IO_FLUSH, summary: 'flushes, one place after the other' },
  write_zeroes: { ...plain, type: IO_WRITE_ZEROES, summary: 'zeroes, one place after the other' },
} as const satisfies Record<string, Workload>;

/** The name of a workload, as bdevperf's -w. */
export type WorkloadName = keyof typeof WORKLOADS;

/** Names of all workloads. */
export const WORKLOAD_NAMES = Object.keys(WORKLOADS) as readonly WorkloadName[];

/** By name; null when there is none. */
export function findWorkload(name: string): Workload | null {
  return Object.hasOwn(WORKLOADS, name) ? WORKLOADS[name as WorkloadName] : null;
}

/** Whether it changes the disk, or asks of it what only its owner may. */
export function changesDisk(workload: Workload): boolean {
  return workload.type !== IO_READ && workload.type !== IO_FLUSH;
}
