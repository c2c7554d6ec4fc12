/**
 * One I/O of a RAID disk that is several I/Os of its members, on one lightweight thread; reused. Data path.
 *
 * A leg is the part of one member. Legs are begun in order of slots; when there is no BdevIo for one, the operation waits and goes on with that leg, so none is
 * begun twice. The channel of the level (raid-channel.ts) says what a leg is and what its failure means.
 */
import type { BdevIo, IoWaitEntry } from '../../../bdev/bdev-io.ts';
import type { Retry } from '../../../bdev/manager.ts';
import type { RaidChannel } from './raid-channel.ts';

/** Nothing was begun there. */
export const LEG_NONE = 0;
export const LEG_BEGUN = 1;
export const LEG_OK = 2;
export const LEG_FAILED = 3;
/** Its member has been dropped since: it counts no more. */
export const LEG_SETTLED = 4;

/** The context of a leg's I/O. */
export class RaidLeg implements Retry, IoWaitEntry {
  readonly op: RaidOp;
  readonly slot: number;
  /** LEG_* */
  state = LEG_NONE;
  /** Which of the members that this slot has had it went to. */
  generation = 0;
  /** Until when it is begun again, once others have reset its member; 0: they have not. */
  againUntilUs = 0;

  constructor(op: RaidOp, slot: number) {
    this.op = op;
    this.slot = slot;
  }

  /** Some time after it was aborted below. */
  retry(): void {
    this.op.channel.retryLeg(this);
  }

  /** There was no BdevIo for it then. */
  onReady(): void {
    this.retry();
  }
}

export class RaidOp implements IoWaitEntry {
  readonly channel: RaidChannel;
  readonly legs: readonly RaidLeg[];
  io: BdevIo | null = null;
  /** The leg to begin next. */
  next = 0;
  /** Legs under way. */
  pending = 0;
  /** Of the first leg that failed. */
  status = 0;
  /** For a BdevIo. */
  waiting = false;
  aborted = false;
  /** Of a level that needs it: a piece of memory, or where it has got to; -1: none. */
  buffer = -1;
  step = 0;

  constructor(channel: RaidChannel, slots: number) {
    this.channel = channel;
    this.legs = Array.from({ length: slots }, (_, slot) => new RaidLeg(this, slot));
  }

  onReady(): void {
    this.waiting = false;
    this.channel.proceed(this);
  }

  reset(): void {
    this.io = null;
    this.next = 0;
    this.pending = 0;
    this.status = 0;
    this.waiting = false;
    this.aborted = false;
    this.buffer = -1;
    this.step = 0;
    for (let slot = 0; slot < this.legs.length; slot++) {
      this.legs[slot].state = LEG_NONE;
      this.legs[slot].againUntilUs = 0;
    }
  }
}
