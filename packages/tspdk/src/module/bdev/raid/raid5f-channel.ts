/**
 * raid5f: of each stripe one member holds the XOR of the others' strips, and writes are of whole stripes (the disk's write unit), so parity is never read to be changed.
 * Data path.
 *
 * A write deals its memory to the members and makes the parity in a buffer of the core's; when the core has none, the layer tries again. With one member missing all others must
 * take it. A read is within one strip (the layer splits at strips); when its member is missing or fails, the same range of all others is read, one after the other, and XORed where the
 * submitter wants it. So a read that is made good like this, while somebody writes the same stripe, may give neither what was there nor what comes: ranges that are read and
 * written at once have no content.
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import { IO_FLAG_FUA, IO_FLUSH, IO_READ, IO_WRITE } from '../../../bdev/index.ts';
import { ECANCELED, EINVAL, EIO, ENOMEM } from '../../../bdev/status.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import type { Segment } from '../../../env/segment.ts';
import type { RaidBackend } from './raid-backend.ts';
import { NO_MEMBER, RaidChannel, raidLegDone } from './raid-channel.ts';
import { type Raid5fMap, RaidRange } from './raid-map.ts';
import { LEG_BEGUN, LEG_NONE, type RaidLeg, RaidOp } from './raid-op.ts';
import { mapStripeIovs } from './stripe-iovs.ts';
import { XorPieces, xorInto } from './xor.ts';

/** Pieces of memory of one strip that there is room for without allocating. */
const STRIP_PIECES = 128;

/** A stripe's memory, strip by strip, and its parity. */
class StripeOp extends RaidOp {
  strips: readonly IoVecs[];
  readonly parity = new IoVecs(1);

  constructor(channel: RaidChannel, slots: number) {
    super(channel, slots);
    this.strips = Array.from({ length: slots - 1 }, () => new IoVecs(STRIP_PIECES));
  }

  /** Has each strip hold so many pieces. */
  widen(pieces: number): void {
    this.strips = this.strips.map(() => new IoVecs(pieces));
  }

  override reset(): void {
    super.reset();
    for (const strip of this.strips) strip.reset();
    this.parity.reset();
  }
}

export class Raid5fChannel extends RaidChannel {
  protected override retriesAborted = true;
  readonly #map: Raid5fMap;
  readonly #range = new RaidRange();
  readonly #blockBytes: number;
  readonly #stripBytes: number;
  readonly #stripeBytes: number;
  readonly #xor: XorPieces;

  constructor(backend: RaidBackend, map: Raid5fMap) {
    super(backend);
    this.#map = map;
    this.#blockBytes = backend.blockBytes;
    this.#stripBytes = map.stripBlocks * this.#blockBytes;
    this.#stripeBytes = map.stripeBlocks * this.#blockBytes;
    this.#xor = new XorPieces(map.members);
  }

  protected override newOp(): RaidOp {
    return new StripeOp(this, this.members.length);
  }

  submit(io: BdevIo): void {
    if (io.type === IO_READ || io.type === IO_FLUSH) {
      this.proceed(this.take(io));
      return;
    }
    const { byteOffset, bytes } = io;
    const whole = this.#map.isFullStripes(byteOffset / this.#blockBytes, bytes / this.#blockBytes);
    if (!whole || (io.type === IO_WRITE && bytes !== this.#stripeBytes)) {
      io.complete(EINVAL);
      return;
    }
    const op = this.take(io) as StripeOp;
    const rc = io.type === IO_WRITE ? this.#deal(op, io) : 0;
    if (rc === 0) this.proceed(op);
    else this.finish(op, rc);
  }

  /** The memory of each strip, and the parity, unless there is nobody to take it. */
  #deal(op: StripeOp, io: BdevIo): number {
    const { backend } = this;
    const data = this.members.length - 1;
    let rc = mapStripeIovs(io.iovs, 0, this.#stripBytes, data, op.strips);
    if (rc === ENOMEM) {
      op.widen(io.iovs.count);
      rc = mapStripeIovs(io.iovs, 0, this.#stripBytes, data, op.strips);
    }
    if (rc !== 0) return rc;
    if (backend.descs[this.#map.parityMember(this.#stripe(io))] === null) return 0;
    op.buffer = backend.takeBuffer();
    if (op.buffer < 0) return ENOMEM;
    op.parity.push(backend.scratch as Segment, op.buffer, this.#stripBytes);
    return this.#xor.xor(op.parity, op.strips, data, this.#stripBytes);
  }

  #stripe(io: BdevIo): number {
    return this.#map.stripeOf(io.byteOffset / this.#blockBytes);
  }

  override proceed(op: RaidOp): void {
    if ((op.io as BdevIo).type !== IO_READ) super.proceed(op);
    else if (op.step === 0) this.#readDirect(op);
    else this.#readRest(op);
  }

  protected submitLeg(op: RaidOp, slot: number, member: BdevChannel | null): number {
    if (member === null) return NO_MEMBER;
    const io = op.io as BdevIo;
    if (io.type === IO_FLUSH) return this.flushLeg(op, slot, member);
    const leg = op.legs[slot];
    const stripe = this.#stripe(io);
    const at = this.backend.offsets[slot] + this.#map.stripeLba(stripe) * this.#blockBytes;
    if (io.type !== IO_WRITE) {
      const bytes = (io.bytes / this.#stripeBytes) * this.#stripBytes;
      return this.begun(op, slot, member.writeZeroes(at, bytes, io.flags, raidLegDone, leg));
    }
    const { strips, parity } = op as StripeOp;
    const parityMember = this.#map.parityMember(stripe);
    // A member that came after the parity was to be made: the rebuild waits for this write, and then makes it.
    if (slot === parityMember && parity.count === 0) return 0;
    const list = slot === parityMember ? parity : strips[slot < parityMember ? slot : slot - 1];
    return this.begun(op, slot, member.writev(list, at, raidLegDone, leg, io.flags & IO_FLAG_FUA));
  }

  protected ended(op: RaidOp): void {
    this.endWrite(op, this.members.length - 1);
  }

  override settled(op: RaidOp): void {
    this.endWrite(op, this.members.length - 1);
  }

  override finish(op: RaidOp, status: number): void {
    if (op.buffer >= 0) this.backend.giveBuffer(op.buffer);
    super.finish(op, status);
  }

  #mapRead(op: RaidOp): void {
    const { byteOffset, bytes } = op.io as BdevIo;
    this.#map.map(byteOffset / this.#blockBytes, bytes / this.#blockBytes, this.#range);
  }

  #isReadable(slot: number): boolean {
    return this.backend.readable[slot] !== 0 && this.members[slot] !== null;
  }

  #readDirect(op: RaidOp): void {
    this.#mapRead(op);
    const slot = this.#range.member;
    if (!this.#isReadable(slot)) this.#reconstruct(op);
    else this.#readInto(op, slot);
  }

  /** Reads a member's range to where the submitter wants it. */
  #readInto(op: RaidOp, slot: number): void {
    const member = this.members[slot] as BdevChannel;
    const at = this.backend.offsets[slot] + this.#range.lba * this.#blockBytes;
    this.#readBegun(op, slot, member.forward(op.io as BdevIo, at, readDone, op.legs[slot]));
  }

  #readBegun(op: RaidOp, slot: number, rc: number): void {
    if (rc === 0) op.legs[slot].state = LEG_BEGUN;
    else if (rc === ENOMEM) this.wait(op, this.members[slot] as BdevChannel);
    else this.readDone(op.legs[slot], rc);
  }

  readDone(leg: RaidLeg, status: number): void {
    const { op, slot } = leg;
    leg.state = LEG_NONE;
    if (op.aborted) this.finish(op, ECANCELED);
    else if (op.step === 0) {
      op.status = status;
      if (status === 0) this.finish(op, 0);
      else this.#reconstruct(op);
    } else if (status !== 0) this.#notReconstructed(op, status);
    else {
      if (op.step > 1) this.#xorBuffer(op);
      op.step++;
      op.next = slot + 1;
      this.#readRest(op);
    }
  }

  /** From all members but the one that cannot be read. */
  #reconstruct(op: RaidOp): void {
    op.buffer = this.backend.takeBuffer();
    if (op.buffer < 0) {
      // The layer waits for what is under way, and submits the read again.
      this.finish(op, ENOMEM);
      return;
    }
    op.step = 1;
    op.next = 0;
    this.#readRest(op);
  }

  #readRest(op: RaidOp): void {
    if (op.aborted) {
      this.finish(op, ECANCELED);
      return;
    }
    this.#mapRead(op);
    const slot = op.next === this.#range.member ? op.next + 1 : op.next;
    if (slot >= this.members.length) {
      this.finish(op, 0);
      return;
    }
    if (!this.#isReadable(slot)) {
      this.#notReconstructed(op, EIO);
      return;
    }
    if (op.step === 1) {
      this.#readInto(op, slot);
      return;
    }
    const { bytes } = op.io as BdevIo;
    const at = this.backend.offsets[slot] + this.#range.lba * this.#blockBytes;
    const member = this.members[slot] as BdevChannel;
    const scratch = this.backend.scratch as Segment;
    this.#readBegun(op, slot, member.read(scratch, op.buffer, at, bytes, readDone, op.legs[slot]));
  }

  /** One of the others fails, too; the member itself may have come back meanwhile. */
  #notReconstructed(op: RaidOp, status: number): void {
    this.#mapRead(op);
    if (op.status !== 0 || !this.#isReadable(this.#range.member)) {
      // A member that was reset has not failed.
      this.finish(op, op.status === ECANCELED ? ECANCELED : status);
      return;
    }
    this.backend.giveBuffer(op.buffer);
    op.buffer = -1;
    op.step = 0;
    this.#readDirect(op);
  }

  /** XORs what was read last into the submitter's memory. */
  #xorBuffer(op: RaidOp): void {
    const { iovs } = op.io as BdevIo;
    let at = op.buffer;
    for (let i = 0; i < iovs.count; i++) {
      xorInto(iovs.segment[i] as Segment, iovs.offset[i], this.backend.scratch as Segment, at, iovs.bytes[i]);
      at += iovs.bytes[i];
    }
  }

  abort(io: BdevIo): boolean {
    if (io.type !== IO_READ) return false;
    const op = io.driver as RaidOp;
    this.abortOp(op);
    if (this.cancelWait(op)) this.finish(op, ECANCELED);
    return true;
  }
}

function readDone(leg: unknown, status: number): void {
  ((leg as RaidLeg).op.channel as Raid5fChannel).readDone(leg as RaidLeg, status);
}
