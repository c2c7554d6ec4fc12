/**
 * The data path of a RAID disk on one lightweight thread, as far as it is the same for all levels: a channel of each member, and I/Os that go to several of them
 * (raid-op.ts). Levels say in `submitLeg` what a member gets, and in `ended` what the legs together mean.
 */
import { RESET_RETRY_US, resetBases } from '../../../bdev/base-reset.ts';
import type { BdevIo, BdevIoDone } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import { type BackendChannel, IO_FLUSH } from '../../../bdev/index.ts';
import { ECANCELED, ENODEV, ENOMEM } from '../../../bdev/status.ts';
import { current } from '../../../env/current.ts';
import { limits } from '../../../env/limits.ts';
import type { RaidBackend } from './raid-backend.ts';
import { LEG_BEGUN, LEG_FAILED, LEG_OK, LEG_SETTLED, type RaidLeg, RaidOp } from './raid-op.ts';

export abstract class RaidChannel implements BackendChannel {
  readonly backend: RaidBackend;
  /** By slot; null: missing, or going. */
  readonly members: (BdevChannel | null)[];
  readonly #thread = current.thread;
  readonly #free: RaidOp[] = [];

  constructor(backend: RaidBackend) {
    this.backend = backend;
    this.members = backend.descs.map(() => null);
    try {
      for (let slot = 0; slot < this.members.length; slot++) this.openMember(slot);
    } catch (error) {
      for (let slot = 0; slot < this.members.length; slot++) this.closeMember(slot);
      throw error;
    }
    backend.channels.add(this);
  }

  abstract submit(io: BdevIo): void;
  /** Begins the part of one member: 0, or a negative errno, -ENOMEM to be asked again. `member` is null when the slot has one that is going. */
  protected abstract submitLeg(op: RaidOp, slot: number, member: BdevChannel | null): number;
  /** No leg is under way, and none is left. */
  protected abstract ended(op: RaidOp): void;

  /** The members on which `op` failed have been dropped. */
  settled(op: RaidOp): void {
    this.finish(op, op.status);
  }

  /** The slot has a member here from now on. Control path. */
  openMember(slot: number): void {
    const desc = this.backend.descs[slot];
    if (desc === null || desc.bdev.removing) return;
    const { thread } = current;
    current.thread = this.#thread;
    try {
      this.members[slot] = desc.getIoChannel();
    } finally {
      current.thread = thread;
    }
  }

  /** It has none from now on; what is under way there completes. Control path. */
  closeMember(slot: number): void {
    const member = this.members[slot];
    if (member === null) return;
    const { thread } = current;
    current.thread = this.#thread;
    try {
      member.close();
    } finally {
      current.thread = thread;
    }
    this.members[slot] = null;
  }

  protected newOp(): RaidOp {
    return new RaidOp(this, this.members.length);
  }

  protected take(io: BdevIo): RaidOp {
    const op = this.#free.pop() ?? this.newOp();
    op.io = io;
    io.driver = op;
    return op;
  }

  finish(op: RaidOp, status: number): void {
    const io = op.io as BdevIo;
    op.reset();
    this.#free.push(op);
    io.driver = null;
    io.complete(status);
  }

  /** Has `op` called when there is a BdevIo. */
  protected wait(op: RaidOp, member: BdevChannel): void {
    op.waiting = true;
    member.queueIoWait(op);
  }

  /** Begins what is left of an operation, as far as there are BdevIos. */
  proceed(op: RaidOp): void {
    const { members, backend } = this;
    while (op.next < members.length) {
      const slot = op.next;
      const member = members[slot];
      if (backend.descs[slot] !== null) {
        const leg = op.legs[slot];
        leg.generation = backend.generations[slot];
        const rc = this.submitLeg(op, slot, member);
        if (rc === ENOMEM) {
          this.wait(op, member as BdevChannel);
          return;
        }
        if (rc !== 0) this.#legFailed(leg, rc);
      }
      op.next++;
    }
    if (op.pending === 0) this.ended(op);
  }

  /** A flush of one member: nothing to do where it has no cache to flush, as one may that came later. */
  protected flushLeg(op: RaidOp, slot: number, member: BdevChannel): number {
    const { offsets, dataBytes } = this.backend;
    const leg = op.legs[slot];
    if ((member.bdev.takenTypes & (1 << IO_FLUSH)) === 0) {
      leg.state = LEG_OK;
      return 0;
    }
    return this.begun(op, slot, member.flush(offsets[slot], dataBytes[slot], raidLegDone, leg));
  }

  /** A leg has been taken. */
  protected begun(op: RaidOp, slot: number, rc: number): number {
    if (rc === 0) {
      op.legs[slot].state = LEG_BEGUN;
      op.pending++;
    }
    return rc;
  }

  /**
   * All legs are over, for a level that works when `least` of them went well: it is acknowledged when the members on which it failed are dropped. With fewer it
   * has failed.
   */
  protected endWrite(op: RaidOp, least: number): void {
    const { backend } = this;
    let failed = 0;
    for (let slot = 0; slot < op.legs.length; slot++) {
      const leg = op.legs[slot];
      if (leg.state !== LEG_FAILED) continue;
      if (backend.isCurrent(slot, leg.generation)) failed++;
      else leg.state = LEG_SETTLED;
    }
    const enough = backend.succeeded(op) >= least;
    if (failed === 0 || !enough) {
      this.finish(op, enough ? 0 : op.status || ENODEV);
      return;
    }
    backend.park(op);
    for (let slot = 0; slot < op.legs.length; slot++) {
      const leg = op.legs[slot];
      if (leg.state === LEG_FAILED) backend.memberFailed(slot, leg.generation);
    }
  }

  #legFailed(leg: RaidLeg, status: number): void {
    leg.state = LEG_FAILED;
    // That a disk is gone says less than what another said.
    if (leg.op.status === 0 || leg.op.status === ENODEV) leg.op.status = status;
  }

  /** A member is reset by others, and what was under way there ends; that says nothing about the member, unless it lasts (`raid_reset_wait_ms`). */
  protected retriesAborted = false;

  /** Is a leg to be begun again that a reset has ended? */
  #mayRetry(leg: RaidLeg): boolean {
    const { nowUs } = this.backend.reactor.clock;
    if (leg.againUntilUs === 0) leg.againUntilUs = nowUs + limits.raid_reset_wait_ms * 1000;
    return nowUs < leg.againUntilUs;
  }

  /** Begins a leg once more. */
  retryLeg(leg: RaidLeg): void {
    const { op, slot, generation } = leg;
    const member = this.members[slot];
    op.pending--;
    const rc = this.backend.isCurrent(slot, generation) ? this.submitLeg(op, slot, member) : NO_MEMBER;
    if (rc === 0) return;
    op.pending++;
    if (rc === ENOMEM) (member as BdevChannel).queueIoWait(leg);
    else this.legDone(leg, rc);
  }

  legDone(leg: RaidLeg, status: number): void {
    const { op } = leg;
    if (status === ECANCELED && this.retriesAborted && this.#mayRetry(leg)) {
      this.backend.manager.retryAfter(RESET_RETRY_US, leg);
      return;
    }
    op.pending--;
    if (status === 0) leg.state = LEG_OK;
    else this.#legFailed(leg, status);
    if (op.pending === 0 && op.next === this.members.length && !op.waiting) this.ended(op);
  }

  /** Begins nothing more of an operation, and ends what it can. */
  protected abortOp(op: RaidOp): void {
    op.aborted = true;
    op.next = this.members.length;
    for (let slot = 0; slot < this.members.length; slot++) {
      if (op.legs[slot].state === LEG_BEGUN) this.members[slot]?.abort(op.legs[slot]);
    }
  }

  /** Takes a waiting operation out of the queue. */
  protected cancelWait(op: RaidOp): boolean {
    if (!op.waiting) return false;
    const member = this.members.find((each) => each !== null);
    op.waiting = !(member?.cancelIoWait(op) ?? false);
    return !op.waiting;
  }

  reset(cb: BdevIoDone, ctx: unknown): void {
    // Of now: a member that comes later has nothing under way.
    resetBases(
      this.members.filter((member) => member !== null),
      cb,
      ctx,
    );
  }

  abstract abort(io: BdevIo): boolean;

  close(): void {
    this.backend.channels.delete(this);
    for (let slot = 0; slot < this.members.length; slot++) this.closeMember(slot);
  }
}

/** The callback of every leg; its context is the RaidLeg. */
export function raidLegDone(leg: unknown, status: number): void {
  (leg as RaidLeg).op.channel.legDone(leg as RaidLeg, status);
}

/** The callback of an I/O that one member gets whole; its context is the BdevIo. */
export function raidIoDone(io: unknown, status: number): void {
  (io as BdevIo).complete(status);
}

/** What a leg without a member ends with. */
export const NO_MEMBER = ENODEV;
