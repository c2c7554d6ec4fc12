/**
 * The disk that another disk stands on, as the upper one's module holds it (SPDK: lib/bdev/part.c does the like for partitions).
 *
 * On the app core a module's `create` opens and claims the base (`BaseBdev.open`) and names it in `NewBdev.bases`: the block layer then removes the upper disk
 * when the base goes, tells it when the base grows, and lets the base go after the upper disk has been destroyed. Several disks may share one (`retain`). On every reactor the backend opens
 * it once more with what `ref` carries there (`openBase`), and takes a channel of it for each of its own.
 */
import { SpdkError } from '../env/errors.ts';
import type { Reactor } from '../event/reactor.ts';
import type { Bdev } from './bdev.ts';
import type { BdevChannel } from './channel.ts';
import { BdevDesc } from './desc.ts';
import { type BdevClaim, CLAIM_EXCL_WRITE, CLAIM_READ_MANY_WRITE_NONE } from './shared-state.ts';

/** Names a claimed base to the other cores. Structured-cloneable. */
export interface BaseRef {
  readonly name: string;
  readonly claim: BdevClaim;
}

/** How a disk is opened that others are to stand on. */
export interface BaseBdevOptions {
  /** One of CLAIM_*. Default CLAIM_EXCL_WRITE. */
  readonly claim?: number;
  /** The disks above have the base's metadata as their own. Without, a base with metadata is refused. */
  readonly metadata?: boolean;
  /** Instead of removing the disks above: the base is going; `close` it soon. */
  readonly onRemove?: () => void;
  /** The base has another size. */
  readonly onResize?: (base: Bdev) => void;
}

/** App core only. */
export class BaseBdev {
  readonly bdev: Bdev;
  readonly ref: BaseRef;
  /** The base is going. */
  removed = false;
  readonly #desc: BdevDesc;
  /** Remove what stands on it. The registry's. */
  readonly owners = new Set<() => void>();
  #uses = 1;

  private constructor(bdev: Bdev, desc: BdevDesc, claim: BdevClaim) {
    this.bdev = bdev;
    this.#desc = desc;
    this.ref = { name: bdev.name, claim };
  }

  /**
   * Opens and claims the disk `name`.
   * @throws {SpdkError} ENODEV when there is none; EPERM when it is claimed, or in use by a writer where the claim wants none; EROFS
   */
  static open(reactor: Reactor, name: string, options: BaseBdevOptions = {}): BaseBdev {
    let base: BaseBdev | null = null;
    const desc = BdevDesc.open(name, {
      write: false,
      reactor,
      onEvent: (event, bdev) => {
        if (event === 'resize') options.onResize?.(bdev);
        else if (base !== null) {
          base.removed = true;
          if (options.onRemove !== undefined) options.onRemove();
          else for (const remove of [...base.owners]) remove();
        }
      },
    });
    try {
      if (desc.bdev.metadata !== null && options.metadata !== true) {
        throw new SpdkError('ENOTSUP', `bdev "${name}" has metadata, which this kind of disk does not carry`);
      }
      base = new BaseBdev(desc.bdev, desc, desc.claim({ type: options.claim ?? CLAIM_EXCL_WRITE }));
      return base;
    } catch (error) {
      desc.close();
      throw error;
    }
  }

  /** One disk more stands on it, and closes it one day. */
  retain(): this {
    this.#uses++;
    return this;
  }

  /** Nobody stands on it any more. */
  get closed(): boolean {
    return this.#uses === 0;
  }

  /** Lets the base go, when all who share it have. */
  close(): void {
    if (this.#uses > 0 && --this.#uses === 0) this.#desc.close();
  }
}

/** The base on this reactor, for a backend; it closes it in its own `close`. @throws {SpdkError} ENODEV when it is going. */
export function openBase(ref: BaseRef, reactor: Reactor): BdevDesc {
  return BdevDesc.open(ref.name, {
    write: ref.claim.type !== CLAIM_READ_MANY_WRITE_NONE,
    claim: ref.claim,
    forDisk: true,
    reactor,
    // The app core hears of it and acts.
    onEvent: () => {},
  });
}

/** A channel of each of two bases, for one that stands on both: both or none. @throws {SpdkError} as BdevDesc.getIoChannel */
export function openChannels(first: BdevDesc, second: BdevDesc): [BdevChannel, BdevChannel] {
  const channel = first.getIoChannel();
  try {
    return [channel, second.getIoChannel()];
  } catch (error) {
    channel.close();
    throw error;
  }
}

/** @throws {SpdkError} ENODEV when one of `bases` is going. */
export function checkBases(bases: readonly BaseBdev[]): void {
  const gone = bases.find((base) => base.removed);
  if (gone !== undefined) throw new SpdkError('ENODEV', `bdev "${gone.bdev.name}" is being removed`);
}
