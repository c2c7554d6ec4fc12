/** A worker of spin-lock.test.ts: a thread on a core of its own that counts in shared memory, under the lock. */
import { workerData } from 'node:worker_threads';
import type { HeapMemory, Ptr } from '../env/heap.ts';
import { SpinLock } from './spin-lock.ts';
import { TestCluster } from './test-host.ts';

/** What the test passes. */
export interface CountingJob {
  readonly memory: HeapMemory;
  readonly table: SharedArrayBuffer;
  readonly core: number;
  readonly cores: number;
  readonly lock: Ptr;
  /** Two counters that only the holder may touch. */
  readonly counters: Ptr;
  readonly times: number;
}

const job = workerData as CountingJob;
const host = new TestCluster(job.cores, 1, job).host(job.core);
const thread = host.create(`counter_${job.core}`);
const lock = new SpinLock(host.heap, job.lock);
const at = job.counters >>> 2;
thread.run(() => {
  for (let i = 0; i < job.times; i++) {
    lock.lock();
    const seen = host.heap.i32[at] as number;
    host.heap.i32[at + 1] = (host.heap.i32[at + 1] as number) + 1;
    host.heap.i32[at] = seen + 1;
    lock.unlock();
  }
});
