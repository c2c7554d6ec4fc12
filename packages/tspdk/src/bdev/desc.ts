/**
 * An open block device: who has it open, for what, and who hears when it goes or grows (SPDK: spdk_bdev_desc).
 *
 * A descriptor belongs to the reactor that opened it; each lightweight thread there takes its own channel. When the
 * disk is removed the owner gets 'remove', lets its outstanding I/O complete, closes its channels and the descriptor; the disk goes
 * when the last is closed. Events come on the thread that opened it, never from inside `open`.
 */
import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import { currentReactor, type Reactor } from '../event/reactor.ts';
import { getIoChannel } from '../thread/index.ts';
import type { Bdev } from './bdev.ts';
import { BdevChannel } from './channel.ts';
import { type OnOverdue, TimeoutWatch } from './io-timeout.ts';
import { bdevManager } from './manager.ts';
import type { Metadata } from './metadata.ts';
import { type BdevRange, type Quiesced, quiesceRange } from './quiesce.ts';
import {
  type BdevClaim,
  CLAIM_EXCL_WRITE,
  CLAIM_NAMES,
  CLAIM_READ_MANY_WRITE_NONE,
  CLAIM_READ_MANY_WRITE_SHARED,
} from './shared-state.ts';

/** What happens to an open disk: it is going, or has another size (SPDK: SPDK_BDEV_EVENT_REMOVE, SPDK_BDEV_EVENT_RESIZE). */
export type BdevEvent = 'remove' | 'resize';

/** What a disk is opened for, and who hears what happens to it. */
export interface BdevOpenOptions {
  /** Open for writing. */
  readonly write: boolean;
  readonly onEvent: (event: BdevEvent, bdev: Bdev) => void;
  /** Default: the current one. */
  readonly reactor?: Reactor;
  /** Of a disk with metadata, the data alone: blocks, size and offsets are those of the data, and the layer generates, checks and strips protection information. */
  readonly hideMetadata?: boolean;
  /** The opener's own claim, made on the app core: it may write although the disk is claimed. */
  readonly claim?: BdevClaim;
  /** For a disk that stands on it, and names it in `bases`: its I/Os may have the BdevIos that are kept for those (io-rank.ts). `openBase` says so. */
  readonly forDisk?: boolean;
}

/** What is claimed. */
export interface BdevClaimOptions {
  /** One of CLAIM_*. Default CLAIM_EXCL_WRITE. */
  readonly type?: number;
  /** Of CLAIM_READ_MANY_WRITE_SHARED: 64 bits, not 0; who claims with the same key shares. */
  readonly key?: bigint;
}

/** An open disk. On the reactor that opened it. */
export class BdevDesc {
  readonly bdev: Bdev;
  /** The data of a disk with metadata is all that is seen through it. */
  readonly bare: boolean;
  readonly forDisk: boolean;
  #write: boolean;
  #claim: BdevClaim | null = null;
  /** Opened with the claim of another descriptor. */
  readonly #guest: boolean;
  readonly #onEvent: BdevOpenOptions['onEvent'];
  readonly #thread: unknown;
  readonly #channels = new Set<BdevChannel>();
  #timeout: TimeoutWatch | null = null;
  readonly #quiesced = new Set<Quiesced>();
  #open = true;

  private constructor(bdev: Bdev, options: BdevOpenOptions) {
    this.bdev = bdev;
    this.bare = options.hideMetadata === true && bdev.metadata !== null;
    this.forDisk = options.forDisk === true;
    this.#write = options.write;
    this.#guest = options.claim !== undefined;
    this.#onEvent = options.onEvent;
    this.#thread = current.thread;
  }

  /**
   * Opens a disk by name, alias or uuid.
   * @throws {SpdkError} ENODEV when there is none, or it is being made or removed; EPERM for writing when it is claimed; EROFS for writing
   * when it is read-only.
   */
  static open(name: string, options: BdevOpenOptions): BdevDesc {
    const bdev = (options.reactor ?? currentReactor()).local(bdevManager).get(name);
    if (!bdev.ready) throw new SpdkError('ENODEV', `bdev "${name}" is being removed`);
    if (options.write && !bdev.writable) throw new SpdkError('EROFS', `bdev "${name}" is read-only`);
    if (!bdev.shared.opened(options.write, options.claim)) {
      throw new SpdkError('EPERM', `bdev "${name}" is claimed: ${CLAIM_NAMES[bdev.shared.claim]}`);
    }
    const desc = new BdevDesc(bdev, options);
    bdev.descs.add(desc);
    return desc;
  }

  /** Bytes of a block as they are seen through it. */
  get blockSizeBytes(): number {
    return this.bare ? (this.bdev.metadata as Metadata).dataBytes : this.bdev.blockSizeBytes;
  }

  /** Bytes of the disk as they are seen through it. */
  get sizeBytes(): number {
    return this.bare ? this.bdev.dataSizeBytes : this.bdev.sizeBytes;
  }

  /** Open for writing. */
  get write(): boolean {
    return this.#write;
  }

  /**
   * Claims the disk, so that others cannot open it for writing. The claimant may write from now on, but for CLAIM_READ_MANY_WRITE_NONE. App core only, before taking
   * channels (SPDK: spdk_bdev_module_claim_bdev_desc; CLAIM_EXCL_WRITE is spdk_bdev_module_claim_bdev).
   * @returns what the claimant's descriptors on other cores are opened with
   * @throws {SpdkError} EPERM when a claim or a writer is in the way; EINVAL for a key where none belongs, or none where one does; EBADF when this is closed;
   * EROFS when the disk is read-only; EWRONGTHREAD.
   */
  claim(options: BdevClaimOptions = {}): BdevClaim {
    const { bdev } = this;
    const { type = CLAIM_EXCL_WRITE, key = 0n } = options;
    const { reactor } = bdev.manager;
    if (reactor.core !== reactor.app.mainCore) {
      throw new SpdkError('EWRONGTHREAD', `bdevs are claimed on core ${reactor.app.mainCore}, not on ${reactor.core}`);
    }
    if (!this.#open) throw new SpdkError('EBADF', `descriptor of bdev "${bdev.name}" is closed`);
    const writes = type !== CLAIM_READ_MANY_WRITE_NONE;
    if (writes && !bdev.writable) throw new SpdkError('EROFS', `bdev "${bdev.name}" is read-only`);
    if ((type === CLAIM_READ_MANY_WRITE_SHARED) !== (key !== 0n)) {
      throw new SpdkError('EINVAL', `claim ${CLAIM_NAMES[type]} of bdev "${bdev.name}" with key ${key}`);
    }
    if (!writes && this.#write) {
      throw new SpdkError('EINVAL', `claim ${CLAIM_NAMES[type]} of bdev "${bdev.name}" by a writer`);
    }
    const claim = this.#claim === null ? bdev.shared.tryClaim(type, this.#write, key) : null;
    if (claim === null) {
      const held = bdev.shared.claim;
      const why = held === 0 ? 'others have it open for writing' : `it is claimed already: ${CLAIM_NAMES[held]}`;
      throw new SpdkError('EPERM', `bdev "${bdev.name}" cannot be claimed: ${why}`);
    }
    this.#claim = claim;
    if (writes && !this.#write) {
      this.#write = true;
      bdev.shared.promoted();
    }
    return claim;
  }

  /** Gives the claim up; closing does so too. @throws {SpdkError} EINVAL when there is none. */
  releaseClaim(): void {
    if (this.#claim === null) throw new SpdkError('EINVAL', `descriptor of bdev "${this.bdev.name}" holds no claim`);
    this.#claim = null;
    this.bdev.shared.releaseClaim(this.#write);
  }

  /**
   * A channel for the current lightweight thread, or for the reactor itself when none runs. The caller closes it, on the same thread.
   * @throws {SpdkError} EBADF when closed, ENODEV when the disk is being removed.
   */
  getIoChannel(): BdevChannel {
    const { bdev } = this;
    if (!this.#open) throw new SpdkError('EBADF', `descriptor of bdev "${bdev.name}" is closed`);
    if (bdev.removing) throw new SpdkError('ENODEV', `bdev "${bdev.name}" is being removed`);
    let channel: BdevChannel;
    if (current.thread !== null) {
      const ioChannel = getIoChannel(bdev.device);
      channel = new BdevChannel(this, ioChannel.ctx, ioChannel);
    } else {
      bdev.bareChannel ??= bdev.openChannel(null);
      bdev.bareChannel.refs++;
      channel = new BdevChannel(this, bdev.bareChannel, null);
    }
    channel.mark = this.#timeout?.mark ?? 0;
    this.#channels.add(channel);
    return channel;
  }

  channelClosed(channel: BdevChannel): void {
    this.#channels.delete(channel);
  }

  /**
   * Has `onOverdue` called for each I/O of this descriptor that takes longer than `timeoutUs`, again and again until it ends, to within a quarter of that time or a second; 0: not any more.
   * What is under way already does not count, but for what was under a limit of this descriptor that is changed (SPDK: spdk_bdev_set_timeout).
   * @throws {SpdkError} EBADF when closed; EINVAL out of range; EMFILE when too many descriptors have a time-out
   */
  setTimeout(timeoutUs: number, onOverdue: OnOverdue = () => {}): void {
    const { bdev } = this;
    if (!this.#open) throw new SpdkError('EBADF', `descriptor of bdev "${bdev.name}" is closed`);
    if (timeoutUs !== 0 && this.#timeout !== null) {
      this.#timeout.change(timeoutUs, onOverdue);
      return;
    }
    const next = timeoutUs === 0 ? null : new TimeoutWatch(bdev.manager, timeoutUs, onOverdue);
    this.#timeout?.stop();
    this.#timeout = next;
    for (const channel of this.#channels) channel.mark = next?.mark ?? 0;
  }

  /**
   * Brings a range, or without one the whole disk however it grows, to rest: resolves when nothing is under way there on any core. From then on all I/O of the range waits, the caller's own
   * too and whatever its type, until the holder lets go or this descriptor is closed. Overlapping requests, and locks of compare-and-write, follow each other. Resets are not held back, and abort what waits;
   * a removal ends it with ENODEV. Of any descriptor, on its core (SPDK: spdk_bdev_quiesce, spdk_bdev_quiesce_range, which are the disk's module's alone).
   * @throws {SpdkError} EBADF when closed, also meanwhile; ENODEV when the disk is being removed; EINVAL for a range outside or not of whole blocks; ENOMEM when the shared heap is full
   */
  async quiesce(range?: BdevRange): Promise<Quiesced> {
    const { bdev } = this;
    const closed = () => new SpdkError('EBADF', `descriptor of bdev "${bdev.name}" is closed`);
    if (!this.#open) throw closed();
    if (bdev.removing) throw new SpdkError('ENODEV', `bdev "${bdev.name}" is being removed`);
    const [start, end] = range === undefined ? [0, Number.MAX_SAFE_INTEGER] : this.#onDisk(range);
    const quiesced = await quiesceRange(bdev, start, end, (each) => void this.#quiesced.delete(each));
    this.#quiesced.add(quiesced);
    if (this.#open) return quiesced;
    await quiesced.unquiesce();
    throw closed();
  }

  /** First byte of a range on the disk, and the byte after its last. @throws {SpdkError} EINVAL */
  #onDisk({ byteOffset, bytes }: BdevRange): [number, number] {
    const { bdev, blockSizeBytes, sizeBytes } = this;
    const whole = byteOffset % blockSizeBytes === 0 && bytes % blockSizeBytes === 0;
    if (!(byteOffset >= 0 && bytes > 0 && byteOffset + bytes <= sizeBytes && whole)) {
      const is = `${sizeBytes} bytes in blocks of ${blockSizeBytes}`;
      throw new SpdkError('EINVAL', `bdev "${bdev.name}": ${bytes} bytes at ${byteOffset} of ${is}`);
    }
    if (!this.bare) return [byteOffset, byteOffset + bytes];
    const metadata = bdev.metadata as Metadata;
    return [metadata.toDisk(byteOffset), metadata.toDisk(byteOffset + bytes)];
  }

  /** Closes the descriptor and those of its channels that are still open, gives its claim up and lets go of what it has quiesced. Twice is once. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const quiesced of [...this.#quiesced]) void quiesced.unquiesce();
    this.#timeout?.stop();
    for (const channel of [...this.#channels]) channel.close();
    if (this.#claim !== null) this.releaseClaim();
    this.bdev.descs.delete(this);
    this.bdev.shared.closed(this.#write, this.#write && !this.#guest);
    this.bdev.checkReleased();
  }

  /** Tells the owner; what he throws, the reactor hears of. Control path of this reactor. */
  notify(event: BdevEvent): void {
    if (!this.#open) return;
    const thread = current.thread;
    current.thread = this.#thread;
    try {
      this.#onEvent(event, this.bdev);
    } catch (error) {
      this.bdev.manager.onCallbackError(error);
    } finally {
      current.thread = thread;
    }
  }
}
