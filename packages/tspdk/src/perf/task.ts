/**
 * One of the I/Os that a job keeps under way (SPDK: struct bdevperf_task): made once, sent again and again, with a buffer of its own. Data path.
 */
import type { IoWaitEntry } from '../bdev/index.ts';

/** Whose task it is. */
export interface TaskOwner {
  /** There is a BdevIo for `task` now. */
  ready(task: PerfTask): void;
}

export class PerfTask implements IoWaitEntry {
  readonly owner: TaskOwner;
  /** From 0 on, in its job. */
  readonly index: number;
  /** Of its buffer, in the job's segment. */
  readonly offset: number;
  /** Of the I/O: one of IO_*. */
  type = 0;
  /** Where it goes: the number of I/O sizes before it, in the job's part of the disk. */
  place = 0;
  /** Of a visit of the verifier. */
  step = 0;
  /** With the block layer. */
  submitted = false;
  /** Has been counted as timed out. */
  late = false;

  constructor(owner: TaskOwner, index: number, offset: number) {
    this.owner = owner;
    this.index = index;
    this.offset = offset;
  }

  onReady(): void {
    this.owner.ready(this);
  }
}
