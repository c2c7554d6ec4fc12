/** An I/O that a fault has struck, from there to its end: held up, changed on its way, or not carried out at all. */
import { IoVecs } from '../../env/iovecs.ts';
import type { Segment } from '../../env/segment.ts';
import type { BdevIo } from '../bdev-io.ts';
import { PLACE_FAULT } from '../io-rank.ts';
import { IO_FLAG_PART, IO_RESET, IO_WRITE } from '../io-type.ts';
import { LayerChild, LayerIo } from '../layer-io.ts';
import type { Retry, RetryTimer } from '../manager.ts';
import type { Metadata } from '../metadata.ts';
import { unitBlocks } from '../module.ts';
import { beginReset } from '../reset.ts';
import { ECANCELED } from '../status.ts';
import { type FaultRule, UNIT_TYPES } from './vocabulary.ts';

const STRUCK = 0;
const HELD = 1;
const FREE = 2;
const GIVEN = 3;
/** The disk has done it, and its end is held up. */
const DONE = 4;
const ENDED = 5;

/** Where I/Os stand that faults hold back. */
export interface Holder {
  readonly held: Set<FaultIo>;
  /** Nothing is held back any more. */
  readonly ended: boolean;
}

export class FaultIo extends LayerIo implements Retry {
  readonly #rule: FaultRule;
  readonly #failure: number;
  readonly #delayUs: number;
  readonly #holder: Holder;
  readonly #child = new LayerChild(this);
  #stage = STRUCK;
  #aborted = false;
  /** Of the end of a delay; null: there was none. */
  #timer: RetryTimer | null = null;

  /**
   * @param failure what it ends with; 0: what the disk says
   * @param holder where it stands while it is held back
   */
  constructor(rule: FaultRule, failure: number, delayUs: number, holder: Holder) {
    super();
    this.#rule = rule;
    this.#failure = failure;
    this.#delayUs = delayUs;
    this.#holder = holder;
  }

  /** Held back until somebody resumes it. */
  get stuck(): boolean {
    return this.#rule.action === 'stuck';
  }

  protected get place(): number {
    return PLACE_FAULT;
  }

  /** It is the parent that is counted, with the delay, and not what the layer makes of it. */
  protected override get childFlags(): number {
    return IO_FLAG_PART;
  }

  protected proceed(): void {
    if (this.#stage === STRUCK) this.#hold();
    if (this.#stage === FREE) this.#carryOut();
    else if (this.#stage === GIVEN && this.outstanding === 0) this.finish();
  }

  #hold(): void {
    const { action, stage } = this.#rule;
    this.#stage = HELD;
    if (action === 'lost') this.finish();
    else if (action === 'stuck') this.#holder.held.add(this);
    else if (action === 'delay' && stage === 'submission') this.#delay();
    else this.#stage = FREE;
  }

  #delay(): void {
    this.#holder.held.add(this);
    this.#timer = this.channel.manager.retryAfter(this.#delayUs, this);
  }

  /** Its time has come, or its end's. */
  retry(): void {
    if (this.#stage === HELD) this.resume();
    else if (this.#stage === DONE) this.#end();
  }

  /** It goes on, after it was held back; what fails at submission ends. */
  resume(): void {
    this.#holder.held.delete(this);
    if (this.#failure !== 0) {
      this.finish();
      return;
    }
    this.#stage = FREE;
    this.proceed();
  }

  #carryOut(): void {
    const { parent, channel } = this;
    const { blockSizeBytes } = channel.bdev;
    const io = this.take();
    if (io === null) return;
    this.#stage = GIVEN;
    if (parent.type === IO_RESET) {
      this.#giveReset(io);
      return;
    }
    let { bytes } = parent;
    let at = parent.byteOffset;
    io.iovs = parent.iovs;
    io.writeIovs = parent.writeIovs;
    io.mdIovs = parent.mdIovs;
    if (parent.sourceOffset !== null) io.sourceOffset = parent.sourceOffset;
    switch (this.#rule.action) {
      case 'torn':
        bytes = Math.min(bytes, this.#rule.torn_blocks * blockSizeBytes);
        if (bytes === 0) {
          channel.manager.pool.put(io);
          this.finish();
          return;
        }
        io.iovs = firstBytes(parent.iovs, channel.bdev.metadata?.inMemory(parent, bytes) ?? bytes);
        if (parent.mdIovs !== null) {
          const { blockBytes, format } = channel.bdev.metadata as Metadata;
          io.mdIovs = firstBytes(parent.mdIovs, (bytes / blockBytes) * format.bytes);
        }
        break;
      case 'misdirect':
        at = this.#elsewhere();
        break;
      case 'corrupt':
        if (parent.type === IO_WRITE) io.iovs = this.#withOtherByte();
    }
    this.give(io, this.#child, parent.type, at, bytes, parent.flags);
  }

  /** Where a misdirected I/O goes: round the end of the disk, in whole blocks, as some disks take I/O from any byte on; or in the units that the disk is written in. */
  #elsewhere(): number {
    const { byteOffset, bytes, type } = this.parent;
    const { blockSizeBytes, sizeBytes, limits } = this.channel.bdev;
    const blocks = (UNIT_TYPES & (1 << type)) !== 0 ? unitBlocks(limits) : 1;
    const stepBytes = blocks * blockSizeBytes;
    const within = byteOffset % stepBytes;
    const places = Math.floor((sizeBytes - bytes - within) / stepBytes) + 1;
    const steps = (this.#rule.misdirect_blocks / blocks) % places;
    const place = ((byteOffset - within) / stepBytes + steps) % places;
    return within + (place < 0 ? place + places : place) * stepBytes;
  }

  /** Past `perform`, which knows of none. */
  #giveReset(io: BdevIo): void {
    io.type = IO_RESET;
    io.byteOffset = 0;
    io.bytes = 0;
    io.flags = IO_FLAG_PART;
    this.adopt(io, this.#child);
    beginReset(this.channel, io);
  }

  /** The parent's memory, which stays as it is, with another byte in the place of one. That comes from memory that has each: whoever waits for a disk here holds nothing that another could lack. */
  #withOtherByte(): IoVecs {
    const { iovs } = this.parent;
    const { octets } = this.channel.manager;
    const at = this.#rule.corrupt_offset;
    const out = new IoVecs(iovs.count + 2);
    let passed = 0;
    for (let i = 0; i < iovs.count; i++) {
      const segment = iovs.segment[i] as Segment;
      const offset = iovs.offset[i];
      const length = iovs.bytes[i];
      const within = at - passed;
      passed += length;
      if (within < 0 || within >= length) {
        out.push(segment, offset, length);
        continue;
      }
      if (within > 0) out.push(segment, offset, within);
      out.push(octets, segment.u8[offset + within] ^ this.#rule.corrupt_value, 1);
      if (within + 1 < length) out.push(segment, offset + within + 1, length - within - 1);
    }
    return out;
  }

  protected override childDone(): void {
    if (this.#rule.action !== 'corrupt' || this.parent.type === IO_WRITE) return;
    const { iovs } = this.parent;
    let at = this.#rule.corrupt_offset;
    for (let i = 0; i < iovs.count; i++) {
      if (at < iovs.bytes[i]) {
        const { u8 } = iovs.segment[i] as Segment;
        u8[iovs.offset[i] + at] ^= this.#rule.corrupt_value;
        return;
      }
      at -= iovs.bytes[i];
    }
  }

  protected override finish(): void {
    if (this.status === 0) this.status = this.#failure;
    if (this.#isHeldAtEnd()) {
      this.#stage = DONE;
      this.#delay();
    } else this.#end();
  }

  #isHeldAtEnd(): boolean {
    const { action, stage } = this.#rule;
    const delayed = action === 'delay' && stage === 'completion' && this.#stage === GIVEN;
    return delayed && !this.#aborted && !this.#holder.ended;
  }

  #end(): void {
    this.#holder.held.delete(this);
    this.#stage = ENDED;
    super.finish();
  }

  /** Ends it, which is held back, with `status`. */
  end(status: number): void {
    this.status = status;
    // What nobody waits for any more would be kept until then.
    if (this.#timer !== null) this.channel.manager.cancelRetry(this.#timer);
    this.#end();
  }

  override abort(): boolean {
    this.#aborted = true;
    if (!this.#holder.held.has(this)) return super.abort();
    this.end(ECANCELED);
    return true;
  }
}

/** The first `bytes` of some memory. */
function firstBytes(iovs: IoVecs, bytes: number): IoVecs {
  const out = new IoVecs(iovs.count);
  for (let i = 0; i < iovs.count && out.totalBytes < bytes; i++) {
    out.push(iovs.segment[i] as Segment, iovs.offset[i], Math.min(iovs.bytes[i], bytes - out.totalBytes));
  }
  return out;
}
