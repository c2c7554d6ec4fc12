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
import { bdevManager } from './manager.ts';
import { CLAIM_NONE } from './shared-state.ts';

export type BdevEvent = 'remove' | 'resize';

export interface BdevOpenOptions {
  /** Open for writing. */
  readonly write: boolean;
  readonly onEvent: (event: BdevEvent, bdev: Bdev) => void;
  /** Default: the current one. */
  readonly reactor?: Reactor;
}

export class BdevDesc {
  readonly bdev: Bdev;
  #write: boolean;
  #claimed = false;
  readonly #onEvent: BdevOpenOptions['onEvent'];
  readonly #thread: unknown;
  readonly #channels = new Set<BdevChannel>();
  #open = true;

  private constructor(bdev: Bdev, options: BdevOpenOptions) {
    this.bdev = bdev;
    this.#write = options.write;
    this.#onEvent = options.onEvent;
    this.#thread = current.thread;
  }

  /**
   * Opens a disk by name, alias or uuid.
   * @throws {SpdkError} ENODEV when there is none or it is being removed; EPERM for writing when it is claimed; EROFS for writing
   * when it is read-only.
   */
  static open(name: string, options: BdevOpenOptions): BdevDesc {
    const bdev = (options.reactor ?? currentReactor()).local(bdevManager).get(name);
    if (!bdev.ready) throw new SpdkError('ENODEV', `bdev "${name}" is being removed`);
    if (options.write && !bdev.writable) throw new SpdkError('EROFS', `bdev "${name}" is read-only`);
    if (options.write && bdev.shared.claim !== CLAIM_NONE) {
      throw new SpdkError('EPERM', `bdev "${name}" is claimed for exclusive writing`);
    }
    const desc = new BdevDesc(bdev, options);
    bdev.shared.opened(desc.write);
    bdev.descs.add(desc);
    return desc;
  }

  /** Open for writing. */
  get write(): boolean {
    return this.#write;
  }

  /**
   * Claims the disk for exclusive writing by this descriptor, which may write from now on; others can no longer open it for
   * writing. Those that already have keep it, as with SPDK's spdk_bdev_module_claim_bdev. Before taking channels.
   * @throws {SpdkError} EPERM when it is claimed already; EBADF when this is closed; EROFS when the disk is read-only.
   */
  claim(): void {
    const { bdev } = this;
    if (!this.#open) throw new SpdkError('EBADF', `descriptor of bdev "${bdev.name}" is closed`);
    if (!bdev.writable) throw new SpdkError('EROFS', `bdev "${bdev.name}" is read-only`);
    if (!bdev.shared.tryClaim()) throw new SpdkError('EPERM', `bdev "${bdev.name}" is claimed already`);
    this.#claimed = true;
    if (this.#write) return;
    this.#write = true;
    bdev.shared.promoted();
  }

  /** Gives the claim up; closing does so too. @throws {SpdkError} EINVAL when there is none. */
  releaseClaim(): void {
    if (!this.#claimed) throw new SpdkError('EINVAL', `descriptor of bdev "${this.bdev.name}" holds no claim`);
    this.#claimed = false;
    this.bdev.shared.releaseClaim();
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
    this.#channels.add(channel);
    return channel;
  }

  channelClosed(channel: BdevChannel): void {
    this.#channels.delete(channel);
  }

  /** Closes the descriptor and those of its channels that are still open. Twice is once. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const channel of [...this.#channels]) channel.close();
    if (this.#claimed) this.releaseClaim();
    this.bdev.descs.delete(this);
    this.bdev.shared.closed(this.write);
    this.bdev.checkReleased();
  }

  /** Tells the owner. Control path of this reactor. */
  notify(event: BdevEvent): void {
    if (!this.#open) return;
    const thread = current.thread;
    current.thread = this.#thread;
    try {
      this.#onEvent(event, this.bdev);
    } finally {
      current.thread = thread;
    }
  }
}
