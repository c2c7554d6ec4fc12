/**
 * raid1: every member holds all blocks. What changes the disk goes to each member that is written, a read to one that is readable, the one with the fewest bytes being read.
 * Data path.
 *
 * A write that fails on some members and not on all is acknowledged when those have been dropped (raid-backend.ts); one that no member took, or only one that is still being rebuilt, has failed,
 * and nobody is dropped.
 * Writes are not aborted: one that ends early on some members only would leave them different. A read that fails is tried on the others, and what they say is
 * written to the member that failed, in its own time (raid1-repair.ts).
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import type { Extents } from '../../../bdev/extents.ts';
import { IO_FLUSH, IO_READ, IO_UNMAP } from '../../../bdev/index.ts';
import { ECANCELED, ENODEV, ENOMEM } from '../../../bdev/status.ts';
import type { RaidBackend } from './raid-backend.ts';
import { NO_MEMBER, RaidChannel, raidLegDone } from './raid-channel.ts';
import { LEG_BEGUN, LEG_FAILED, LEG_NONE, LEG_OK, LEG_SETTLED, type RaidLeg, type RaidOp } from './raid-op.ts';
import { repairRaid1 } from './raid1-repair.ts';

export class Raid1Channel extends RaidChannel {
  protected override retriesAborted = true;
  /** Bytes being read of each member. */
  readonly #reading: Float64Array;

  constructor(backend: RaidBackend) {
    super(backend);
    this.#reading = new Float64Array(this.members.length);
  }

  submit(io: BdevIo): void {
    this.proceed(this.take(io));
  }

  override proceed(op: RaidOp): void {
    if ((op.io as BdevIo).type === IO_READ) this.#read(op);
    else super.proceed(op);
  }

  protected submitLeg(op: RaidOp, slot: number, member: BdevChannel | null): number {
    if (member === null) return NO_MEMBER;
    const io = op.io as BdevIo;
    const leg = op.legs[slot];
    const at = io.byteOffset + this.backend.offsets[slot];
    if (io.type === IO_FLUSH) return this.flushLeg(op, slot, member);
    // One that came later may take no unmap; that is no failure, and it is to hold what the others do.
    const zero = io.type === IO_UNMAP && (member.bdev.takenTypes & (1 << IO_UNMAP)) === 0;
    const rc = zero ? member.writeZeroes(at, io.bytes, 0, raidLegDone, leg) : member.forward(io, at, raidLegDone, leg);
    return this.begun(op, slot, rc);
  }

  protected ended(op: RaidOp): void {
    this.endWrite(op, 1);
  }

  override settled(op: RaidOp): void {
    this.endWrite(op, 1);
  }

  #read(op: RaidOp): void {
    const io = op.io as BdevIo;
    for (;;) {
      const slot = op.aborted ? -1 : this.#pick(op);
      if (slot < 0) {
        this.finish(op, op.aborted ? ECANCELED : op.status || ENODEV);
        return;
      }
      const member = this.members[slot] as BdevChannel;
      const leg = op.legs[slot];
      const rc = member.forward(io, io.byteOffset + this.backend.offsets[slot], readDone, leg);
      if (rc === ENOMEM) {
        this.wait(op, member);
        return;
      }
      if (rc === 0) {
        leg.state = LEG_BEGUN;
        leg.generation = this.backend.generations[slot];
        this.#reading[slot] += io.bytes;
        return;
      }
      leg.state = LEG_SETTLED;
      this.#failed(op, rc);
    }
  }

  /** Of a read that nobody answers, the status is the last one; but a member that was reset by others has not failed, and might have had it. */
  #failed(op: RaidOp, status: number): void {
    if (op.status !== ECANCELED) op.status = status;
  }

  /** The member to read from next; -1 when there is none. */
  #pick(op: RaidOp): number {
    const { readable } = this.backend;
    let best = -1;
    for (let slot = 0; slot < this.members.length; slot++) {
      if (readable[slot] === 0 || this.members[slot] === null || op.legs[slot].state !== LEG_NONE) continue;
      if (best < 0 || this.#reading[slot] < this.#reading[best]) best = slot;
    }
    return best;
  }

  readDone(leg: RaidLeg, status: number): void {
    const { op, slot } = leg;
    const io = op.io as BdevIo;
    this.#reading[slot] -= io.bytes;
    if (status !== 0) {
      // What has been aborted, or was asked of a disk that is going, says nothing about its blocks.
      leg.state = status === ECANCELED || status === ENODEV ? LEG_SETTLED : LEG_FAILED;
      this.#failed(op, status);
      this.#read(op);
      return;
    }
    leg.state = LEG_OK;
    if (op.status !== 0) this.#repair(op);
    this.finish(op, 0);
  }

  #repair(op: RaidOp): void {
    const { byteOffset, bytes } = op.io as BdevIo;
    for (const { state, slot, generation } of op.legs) {
      if (state === LEG_FAILED) repairRaid1(this.backend, slot, generation, byteOffset, bytes);
    }
  }

  abort(io: BdevIo): boolean {
    if (io.type !== IO_READ) return false;
    const op = io.driver as RaidOp;
    this.abortOp(op);
    if (this.cancelWait(op)) this.finish(op, ECANCELED);
    return true;
  }

  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    const { readable, offsets } = this.backend;
    for (let slot = 0; slot < this.members.length; slot++) {
      const member = readable[slot] === 0 ? null : this.members[slot];
      if (member !== null) return member.blockStatus(byteOffset + offsets[slot], bytes, out);
    }
    return ENODEV;
  }
}

function readDone(leg: unknown, status: number): void {
  ((leg as RaidLeg).op.channel as Raid1Channel).readDone(leg as RaidLeg, status);
}
