/** One reactor's part of a disk whose module a user wrote: what they gave is checked when it is made, and then called without anything in between. */
import {
  type BackendChannel,
  type BdevBackend,
  type BdevIoDone,
  type BdevSpec,
  type Extents,
  IO_ZCOPY,
} from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import { log } from '../../../log/index.ts';
import type { ModuleBackend, ModuleChannel } from './define-bdev-module.ts';
import { statusOfThrown, textOfThrown } from './io-status.ts';

const diskLog = log.register('bdev_disk');
/** Marks a channel whose `close`, `reset`, `zcopy`, `zcopyWritten` and `blockStatus` are the layer's already. */
const WRAPPED = Symbol('wrapped');

export class UserModuleBackend implements BdevBackend {
  readonly #spec: BdevSpec;
  readonly #kind: string;
  readonly #theirs: ModuleBackend;
  /** Functions of theirs of which has been said that they go wrong: once each, as clients may have them called very often. */
  readonly #told = new Set<string>();

  /** @throws {SpdkError} EINVAL when `theirs` is no backend */
  constructor(spec: BdevSpec, kind: string, theirs: ModuleBackend) {
    this.#spec = spec;
    this.#kind = kind;
    this.#theirs = theirs;
    if (typeof theirs?.createChannel !== 'function') throw this.#refuse('attach gave nothing with createChannel()');
  }

  #refuse(what: string): SpdkError {
    return new SpdkError('EINVAL', `bdev "${this.#spec.name}" of module "${this.#kind}": ${what}`);
  }

  createChannel(): BackendChannel {
    const channel = this.#theirs.createChannel();
    if (typeof channel?.submit !== 'function') throw this.#refuse('createChannel() gave nothing with submit(io)');
    if ((this.#spec.ioTypes & (1 << IO_ZCOPY)) !== 0 && typeof channel.zcopy !== 'function') {
      throw this.#refuse('ioTypes has "zcopy", and its channel no zcopy(byteOffset, bytes, out, write)');
    }
    const own = channel as unknown as BackendChannel;
    // Theirs may be one object for all.
    if (WRAPPED in channel) return own;
    // The layer closes every channel; theirs need not care.
    own.close = this.#closeChannel.bind(this, channel.close?.bind(channel));
    if (channel.reset !== undefined) own.reset = this.#reset.bind(this, channel.reset.bind(channel));
    if (channel.zcopy !== undefined) own.zcopy = this.#zcopy.bind(this, channel, channel.zcopy.bind(channel));
    if (channel.zcopyWritten !== undefined) {
      own.zcopyWritten = this.#zcopyWritten.bind(this, channel.zcopyWritten.bind(channel));
    }
    if (channel.blockStatus !== undefined) {
      own.blockStatus = this.#blockStatus.bind(this, channel.blockStatus.bind(channel));
    }
    Object.defineProperty(channel, WRAPPED, { value: true });
    return own;
  }

  /** What they throw must not keep the disk from going. */
  #closeChannel(theirs: ModuleChannel['close']): void {
    try {
      theirs?.();
    } catch (error) {
      this.#logThrown('close of a channel', error);
    }
  }

  /** A reset as the layer asks for it. What they throw is how it ends, and a second end is none. */
  #reset(theirs: NonNullable<ModuleChannel['reset']>, cb: BdevIoDone, ctx: unknown): void {
    let ended = false;
    const end = (status: number): void => {
      if (ended) return;
      ended = true;
      cb(ctx, status);
    };
    try {
      theirs(end);
    } catch (error) {
      this.#logThrown('reset', error);
      end(statusOfThrown(error));
    }
  }

  /**
   * What theirs has named is sent to clients as it is, behind a header that says how much it is: too little or too much and nothing after it would be understood, and beyond a
   * segment lies somebody else's memory. So it is looked at, and without it, or where theirs throws, the I/O goes the other way.
   */
  #zcopy(
    channel: ModuleChannel,
    theirs: NonNullable<ModuleChannel['zcopy']>,
    byteOffset: number,
    bytes: number,
    out: IoVecs,
    write: boolean,
  ): boolean {
    const { count } = out;
    let named: unknown;
    try {
      named = theirs(byteOffset, bytes, out, write);
    } catch (error) {
      this.#logOnce('zcopy', byteOffset, bytes, error);
      named = false;
    }
    if (named === true && isWhole(out, count, bytes)) return true;
    if (named !== false) this.#tellZcopy(named, byteOffset, bytes, out, count);
    out.truncate(count);
    if (named && write) channel.zcopyWritten?.(byteOffset, 0);
    return false;
  }

  /** The bytes have been written, whatever theirs makes of it: what it throws must not keep the client from its answer. */
  #zcopyWritten(theirs: NonNullable<ModuleChannel['zcopyWritten']>, byteOffset: number, bytes: number): void {
    try {
      theirs(byteOffset, bytes);
    } catch (error) {
      this.#logOnce('zcopyWritten', byteOffset, bytes, error);
    }
  }

  /** What theirs throws is the status. */
  #blockStatus(
    theirs: NonNullable<ModuleChannel['blockStatus']>,
    byteOffset: number,
    bytes: number,
    out: Extents,
  ): number {
    try {
      return theirs(byteOffset, bytes, out);
    } catch (error) {
      this.#logOnce('blockStatus', byteOffset, bytes, error);
      return statusOfThrown(error);
    }
  }

  #tellZcopy(named: unknown, byteOffset: number, bytes: number, out: IoVecs, count: number): void {
    if (!this.#isNews('zcopy')) return;
    const pieces = Array.from({ length: out.count - count }, (_, i) => {
      const at = count + i;
      return `${out.bytes[at]} at ${out.offset[at]} of a segment of ${out.segment[at]?.sizeBytes}`;
    });
    diskLog.error(
      `disk "${this.#spec.name}": zcopy of ${bytes} bytes at ${byteOffset} gave ${String(named)} and ${pieces.join(', ') || 'no memory'}; ` +
        'it gives true and memory for all the bytes, or false. They are copied instead',
    );
  }

  #isNews(name: string): boolean {
    if (this.#told.has(name)) return false;
    this.#told.add(name);
    return true;
  }

  #logOnce(name: string, byteOffset: number, bytes: number, error: unknown): void {
    if (this.#isNews(name)) this.#logThrown(`${name} of ${bytes} bytes at ${byteOffset}`, error);
  }

  #logThrown(what: string, error: unknown): void {
    diskLog.error(`disk "${this.#spec.name}": ${what}: ${textOfThrown(error)}`);
  }

  resize(blocks: number): void {
    this.#theirs.resize?.(blocks);
  }

  async close(): Promise<void> {
    try {
      await this.#theirs.close?.();
    } catch (error) {
      this.#logThrown('close', error);
    }
  }
}

/** Whether the pieces from `first` on are `bytes` bytes together, each inside its segment. */
function isWhole(pieces: IoVecs, first: number, bytes: number): boolean {
  let left = bytes;
  for (let i = first; i < pieces.count; i++) {
    const size = pieces.bytes[i];
    const offset = pieces.offset[i];
    if (!(size > 0 && offset >= 0 && offset + size <= (pieces.segment[i]?.sizeBytes ?? 0))) return false;
    left -= size;
  }
  return left === 0;
}
