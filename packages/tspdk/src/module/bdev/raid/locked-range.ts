/**
 * Work on a range of a RAID disk while nobody else changes it (bdev/lba-lock.ts): a rebuild's, a repair's. Control path.
 *
 * That the shared heap is full says nothing about a member: the lock is then asked for again until there is room, or what it is for is over.
 */
import type { Bdev } from '../../../bdev/bdev.ts';
import { type LbaLock, lockRange } from '../../../bdev/lba-lock.ts';
import type { BdevManager } from '../../../bdev/manager.ts';
import { ECANCELED } from '../../../bdev/status.ts';

/** Between two questions to a heap that is full. */
const HEAP_RETRY_US = 100;

/** What is to be done, and by whom: its questions are told from others' where the heap's last block goes round (bdev/heap-reserve.ts). */
export interface LockedWork {
  /** It is of no use any more. */
  readonly over: () => boolean;
  readonly run: () => Promise<number>;
}

/** A moment, until the shared heap is asked again. */
export function heapRetry(manager: BdevManager): Promise<void> {
  return new Promise((resolve) => manager.retryAfter(HEAP_RETRY_US, { retry: resolve }));
}

/** What `run` says, which is called with the range locked for `who`; -ECANCELED when it is over before that. Bytes of the disk. */
export async function withLock(
  bdev: Bdev,
  byteOffset: number,
  bytes: number,
  who: object,
  { over, run }: LockedWork,
): Promise<number> {
  for (; !over(); await heapRetry(bdev.manager)) {
    let lock: LbaLock | null = null;
    const status = await new Promise<number>((granted) => {
      lock = lockRange(bdev, byteOffset, bytes, false, granted, who);
    });
    if (status !== 0) continue;
    try {
      return over() ? ECANCELED : await run();
    } finally {
      await new Promise<void>((resolve) => (lock as LbaLock | null)?.release(resolve));
    }
  }
  return ECANCELED;
}
