/**
 * Where a block of a RAID disk lies: which member, which of its blocks. Pure arithmetic, data path: results go into a record that the caller keeps.
 *
 * Block numbers reach 2^53, so that they are divided as doubles, not shifted. A strip is what lies on one member before the next one's turn, a stripe a
 * strip on each. Members' blocks are counted from where their data starts. Ranges lie within the disk; whoever calls has checked that.
 */
import { SpdkError } from '../../../env/errors.ts';

/** A range on one member. Reused. */
export class RaidRange {
  member = 0;
  lba = 0;
  /** 0: nothing of it. */
  blocks = 0;
}

/** Checks a strip's size. @throws {SpdkError} EINVAL when it is no power of two. */
function checkStrip(stripBlocks: number): void {
  if (!Number.isInteger(stripBlocks) || stripBlocks < 1 || !Number.isInteger(Math.log2(stripBlocks))) {
    throw new SpdkError('EINVAL', `strip of ${stripBlocks} blocks: not a power of two`);
  }
}

function checkMembers(members: number, least: number): void {
  if (!Number.isInteger(members) || members < least || members > 255) {
    throw new SpdkError('EINVAL', `${members} base bdevs, not ${least} to 255`);
  }
}

function smallest(memberBlocks: readonly number[]): number {
  return memberBlocks.reduce((least, blocks) => Math.min(least, blocks), Number.POSITIVE_INFINITY);
}

/** RAID 0: strips dealt to the members in turn (SPDK: raid0.c). */
export class Raid0Map {
  readonly members: number;
  readonly stripBlocks: number;
  /** Of the whole disk: whole strips of the smallest member, times the members. */
  readonly blocks: number;

  /** @throws {SpdkError} EINVAL for a strip that is no power of two, no members or more than 255, or one without a whole strip. */
  constructor(memberBlocks: readonly number[], stripBlocks: number) {
    checkStrip(stripBlocks);
    checkMembers(memberBlocks.length, 1);
    this.members = memberBlocks.length;
    this.stripBlocks = stripBlocks;
    const strips = Math.floor(smallest(memberBlocks) / stripBlocks);
    if (!(strips > 0)) throw new SpdkError('EINVAL', `a base bdev is smaller than a strip of ${stripBlocks} blocks`);
    this.blocks = strips * stripBlocks * this.members;
  }

  /** The first part of a range, up to the end of its strip. */
  map(lba: number, blocks: number, out: RaidRange): void {
    const { stripBlocks, members } = this;
    const strip = Math.floor(lba / stripBlocks);
    const inStrip = lba - strip * stripBlocks;
    const stripe = Math.floor(strip / members);
    out.member = strip - stripe * members;
    out.lba = stripe * stripBlocks + inStrip;
    out.blocks = Math.min(blocks, stripBlocks - inStrip);
  }

  /**
   * All that a member has of a range: always one range there, as its strips follow one another. For what carries no data: unmap, flush, write zeroes (SPDK:
   * _raid0_get_io_range).
   */
  memberRange(lba: number, blocks: number, member: number, out: RaidRange): void {
    out.member = member;
    const end = lba + blocks;
    out.lba = this.#before(lba, member);
    out.blocks = this.#before(end, member) - out.lba;
  }

  /** How many blocks of `member` hold something that lies before `lba`. */
  #before(lba: number, member: number): number {
    const { stripBlocks, members } = this;
    const strip = Math.floor(lba / stripBlocks);
    const stripe = Math.floor(strip / members);
    const at = strip - stripe * members;
    const whole = stripe * stripBlocks;
    if (member < at) return whole + stripBlocks;
    return member > at ? whole : whole + lba - strip * stripBlocks;
  }
}

/** Concatenation: one member after the other, whole strips of each (SPDK: concat.c). */
export class ConcatMap {
  readonly members: number;
  readonly stripBlocks: number;
  readonly blocks: number;
  /** The first block of each member, and the end. */
  readonly #starts: Float64Array;

  /** @throws {SpdkError} EINVAL as for RAID 0. */
  constructor(memberBlocks: readonly number[], stripBlocks: number) {
    checkStrip(stripBlocks);
    checkMembers(memberBlocks.length, 1);
    this.members = memberBlocks.length;
    this.stripBlocks = stripBlocks;
    this.#starts = new Float64Array(this.members + 1);
    for (const [i, blocks] of memberBlocks.entries()) {
      const whole = Math.floor(blocks / stripBlocks) * stripBlocks;
      if (!(whole > 0)) throw new SpdkError('EINVAL', `a base bdev is smaller than a strip of ${stripBlocks} blocks`);
      this.#starts[i + 1] = this.#starts[i] + whole;
    }
    this.blocks = this.#starts[this.members];
  }

  /** The first part of a range, up to the end of its member. */
  map(lba: number, blocks: number, out: RaidRange): void {
    const starts = this.#starts;
    let low = 0;
    let high = this.members - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= lba) low = middle;
      else high = middle - 1;
    }
    out.member = low;
    out.lba = lba - starts[low];
    out.blocks = Math.min(blocks, starts[low + 1] - lba);
  }

  /** What a member has of a range. */
  memberRange(lba: number, blocks: number, member: number, out: RaidRange): void {
    const start = this.#starts[member];
    const from = Math.max(lba, start);
    const to = Math.min(lba + blocks, this.#starts[member + 1]);
    out.member = member;
    out.lba = from - start;
    out.blocks = Math.max(0, to - from);
  }
}

/**
 * RAID 5 with full-stripe writes: in each stripe one member holds the XOR of the others' strips. The parity starts on the last member and moves one down from
 * stripe to stripe; the data strips go to the others in order (SPDK: raid5f.c).
 */
export class Raid5fMap {
  readonly members: number;
  readonly stripBlocks: number;
  /** Data of a stripe: what is written at once. */
  readonly stripeBlocks: number;
  readonly blocks: number;

  /** @throws {SpdkError} EINVAL as for RAID 0, and for fewer than three members. */
  constructor(memberBlocks: readonly number[], stripBlocks: number) {
    checkStrip(stripBlocks);
    checkMembers(memberBlocks.length, 3);
    this.members = memberBlocks.length;
    this.stripBlocks = stripBlocks;
    this.stripeBlocks = stripBlocks * (this.members - 1);
    const stripes = Math.floor(smallest(memberBlocks) / stripBlocks);
    if (!(stripes > 0)) throw new SpdkError('EINVAL', `a base bdev is smaller than a strip of ${stripBlocks} blocks`);
    this.blocks = stripes * this.stripeBlocks;
  }

  stripeOf(lba: number): number {
    return Math.floor(lba / this.stripeBlocks);
  }

  /** The member that holds a stripe's parity. */
  parityMember(stripe: number): number {
    const turn = stripe - Math.floor(stripe / this.members) * this.members;
    return this.members - 1 - turn;
  }

  /** The member that holds data strip `strip` (0 to members - 2) of a stripe. */
  dataMember(stripe: number, strip: number): number {
    return strip < this.parityMember(stripe) ? strip : strip + 1;
  }

  /** Where a stripe starts on every member. */
  stripeLba(stripe: number): number {
    return stripe * this.stripBlocks;
  }

  /** Whether a range is whole stripes, as a write must be. */
  isFullStripes(lba: number, blocks: number): boolean {
    return (
      blocks > 0 &&
      lba === this.stripeOf(lba) * this.stripeBlocks &&
      blocks === this.stripeOf(blocks) * this.stripeBlocks
    );
  }

  /** The first part of a range to read, up to the end of its strip. */
  map(lba: number, blocks: number, out: RaidRange): void {
    const stripe = this.stripeOf(lba);
    const inStripe = lba - stripe * this.stripeBlocks;
    const strip = Math.floor(inStripe / this.stripBlocks);
    const inStrip = inStripe - strip * this.stripBlocks;
    out.member = this.dataMember(stripe, strip);
    out.lba = this.stripeLba(stripe) + inStrip;
    out.blocks = Math.min(blocks, this.stripBlocks - inStrip);
  }
}
