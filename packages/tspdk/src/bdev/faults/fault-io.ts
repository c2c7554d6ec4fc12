/** An I/O that a fault has struck, from there to its end: held up, changed on its way, or not carried out at all. */
import type { IoBuf, IoBufWaiter } from '../../env/iobuf.ts';
import { IoVecs } from '../../env/iovecs.ts';
import type { Segment } from '../../env/segment.ts';
import { IO_FLAG_EMULATED, IO_WRITE } from '../io-type.ts';
import { LayerChild, LayerIo } from '../layer-io.ts';
import type { Retry } from '../manager.ts';
import { ECANCELED } from '../status.ts';
import type { FaultRule } from './rule.ts';

/** Where stuck I/Os are kept. */
interface StuckHere {
  readonly stuck: Set<FaultIo>;
}

const STRUCK = 0;
const HELD = 1;
const FREE = 2;
const GIVEN = 3;
const ENDED = 4;

export class FaultIo extends LayerIo implements Retry, IoBufWaiter {
  nextWaiter: IoBufWaiter | null = null;
  readonly #rule: FaultRule;
  readonly #failure: number;
  readonly #delayUs: number;
  readonly #set: StuckHere;
  readonly #child = new LayerChild(this);
  #stage = STRUCK;
  #delayed = false;
  /** Waits for a buffer, or for its time. */
  #waits = false;
  #buf: IoBuf | null = null;

  constructor(rule: FaultRule, failure: number, delayUs: number, set: StuckHere) {
    super();
    this.#rule = rule;
    this.#failure = failure;
    this.#delayUs = delayUs;
    this.#set = set;
  }

  protected proceed(): void {
    if (this.#stage === STRUCK) this.#hold();
    if (this.#stage === FREE) this.#carryOut();
    else if (this.#stage === GIVEN && this.outstanding === 0) this.finish();
  }

  #hold(): void {
    const { action, stage } = this.#rule;
    this.#stage = HELD;
    if (action === 'stuck') this.#set.stuck.add(this);
    else if (action === 'delay' && stage === 'submission') this.#wait();
    else if (action === 'lost') this.finish();
    else if (action === 'corrupt' && this.parent.type === IO_WRITE) this.#takeBuf();
    else this.#stage = FREE;
  }

  /** Until `retry`. */
  #wait(): void {
    this.#waits = true;
    this.channel.manager.retryAfter(this.#delayUs, this);
  }

  #takeBuf(): void {
    const { iobuf } = this.channel.manager.reactor;
    const buf = iobuf.getSmall();
    if (buf === null) {
      this.#waits = true;
      iobuf.waitSmall(this);
    } else this.onBuf(buf);
  }

  onBuf(buf: IoBuf): void {
    this.#waits = false;
    this.#buf = buf;
    this.resume();
  }

  /** Its time has come, or the end's; unless it was aborted before. */
  retry(): void {
    if (this.#stage === ENDED) return;
    this.#waits = false;
    if (this.#stage === GIVEN) super.finish();
    else this.resume();
  }

  /** It goes on, after it was held. */
  resume(): void {
    this.#set.stuck.delete(this);
    if (this.status !== 0) {
      this.finish();
      return;
    }
    this.#stage = FREE;
    this.proceed();
  }

  #carryOut(): void {
    const { parent, channel } = this;
    const { blockSizeBytes, sizeBytes } = channel.bdev;
    const io = this.take();
    if (io === null) return;
    this.#stage = GIVEN;
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
        break;
      case 'misdirect': {
        // Round the end of the disk.
        const room = sizeBytes - bytes + blockSizeBytes;
        const there = (at + this.#rule.misdirect_blocks * blockSizeBytes) % room;
        at = there < 0 ? there + room : there;
        break;
      }
      case 'corrupt':
        if (this.#buf !== null) io.iovs = this.#withOtherByte(this.#buf);
    }
    this.give(io, this.#child, parent.type, at, bytes, parent.flags);
    io.flags |= IO_FLAG_EMULATED;
  }

  #changed(value: number): number {
    return this.#rule.corrupt_value < 0 ? value ^ 0xff : this.#rule.corrupt_value;
  }

  /** The parent's memory with one byte from `buf`. */
  #withOtherByte(buf: IoBuf): IoVecs {
    const { iovs, bytes } = this.parent;
    const at = this.#rule.corrupt_offset;
    if (at >= bytes) return iovs;
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
      buf.segment.u8[buf.offset] = this.#changed(segment.u8[offset + within]);
      out.push(buf.segment, buf.offset, 1);
      if (within + 1 < length) out.push(segment, offset + within + 1, length - within - 1);
    }
    return out;
  }

  protected override childDone(): void {
    if (this.#rule.action !== 'corrupt' || this.#buf !== null) return;
    const { iovs } = this.parent;
    let at = this.#rule.corrupt_offset;
    for (let i = 0; i < iovs.count; i++) {
      if (at < iovs.bytes[i]) {
        const { u8 } = iovs.segment[i] as Segment;
        const place = iovs.offset[i] + at;
        u8[place] = this.#changed(u8[place]);
        return;
      }
      at -= iovs.bytes[i];
    }
  }

  protected override finish(): void {
    const { manager } = this.channel;
    if (this.#buf !== null) manager.reactor.iobuf.put(this.#buf);
    this.#buf = null;
    if (this.status === 0) this.status = this.#failure;
    if (this.#rule.action === 'delay' && this.#rule.stage === 'completion' && !this.#delayed) {
      this.#delayed = true;
      this.#wait();
      return;
    }
    super.finish();
  }

  /** What is held up has nothing under way: it ends now. */
  override abort(): boolean {
    const { reactor } = this.channel.manager;
    if (!this.#set.stuck.delete(this) && !this.#waits) return super.abort();
    // If it is a buffer that it waits for.
    reactor.iobuf.cancelWait(this);
    this.#waits = false;
    this.#stage = ENDED;
    // No delay of what ends.
    this.#delayed = true;
    this.status = ECANCELED;
    this.finish();
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
