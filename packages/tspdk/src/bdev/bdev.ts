/**
 * A block device as one reactor knows it: what it is, and this reactor's backend. Every reactor has a replica of every disk; the registry on the
 * app core makes, resizes and removes them all alike. Read-only for users, who reach the data through a descriptor's channel.
 */
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { IoDevice, type Thread } from '../thread/index.ts';
import { makeHomeChannel } from './carry.ts';
import type { BdevDesc } from './desc.ts';
import type { IoStat } from './io-stat.ts';
import { IO_ABORT, IO_RESET, IO_WRITE, IO_WRITE_ZEROES } from './io-type.ts';
import type { BdevManager } from './manager.ts';
import type { BdevBackend, BdevLimits, BdevSpec } from './module.ts';
import { BDEV_READY, SharedState } from './shared-state.ts';
import { ThreadChannel } from './thread-channel.ts';

export class Bdev {
  readonly id: number;
  readonly name: string;
  readonly aliases: string[];
  readonly uuid: string;
  readonly moduleName: string;
  readonly productName: string;
  readonly blockSizeBytes: number;
  readonly writable: boolean;
  readonly volatileCache: boolean;
  readonly homeCore: number;
  readonly limits: BdevLimits;
  readonly spec: BdevSpec;
  readonly manager: BdevManager;
  readonly shared: SharedState;
  /** Mask of `1 << IO_*`: the module's own and what the layer adds. */
  readonly ioTypes: number;
  /** What the module itself takes. */
  readonly moduleIoTypes: number;
  blocks: number;
  sizeBytes = Number.MAX_SAFE_INTEGER;
  /** Being removed: nothing new is taken. */
  removing = false;
  /** Null on other cores than the home core. */
  backend: BdevBackend | null = null;
  /** Open here. */
  readonly descs = new Set<BdevDesc>();
  /** What threads here have open. */
  readonly channels = new Set<ThreadChannel>();
  /** The channel of code that runs in no lightweight thread. */
  bareChannel: ThreadChannel | null = null;
  /** What threads get their channels of (SPDK: the bdev's io_device). */
  readonly device: IoDevice<ThreadChannel>;
  /** Of channels that are gone. */
  readonly pastStat: IoStat;
  /** Called when the last descriptor or channel here is gone. */
  onReleased: (() => void) | null = null;

  constructor(spec: BdevSpec, manager: BdevManager, pastStat: IoStat) {
    this.spec = spec;
    this.id = spec.id;
    this.name = spec.name;
    this.aliases = [...spec.aliases];
    this.uuid = spec.uuid;
    this.moduleName = spec.moduleName;
    this.productName = spec.productName;
    this.blockSizeBytes = spec.blockSizeBytes;
    this.writable = spec.writable;
    this.volatileCache = spec.volatileCache;
    this.homeCore = spec.homeCore;
    this.limits = spec.limits;
    this.blocks = spec.blocks;
    this.sizeBytes = spec.blocks * spec.blockSizeBytes;
    this.manager = manager;
    this.shared = new SharedState(spec.shared);
    this.moduleIoTypes = spec.ioTypes;
    let types = spec.ioTypes | (1 << IO_RESET) | (1 << IO_ABORT);
    if ((types & (1 << IO_WRITE)) !== 0) types |= 1 << IO_WRITE_ZEROES;
    this.ioTypes = types;
    this.pastStat = pastStat;
    this.device = IoDevice.register<ThreadChannel>(manager.reactor, {
      name: `bdev_${spec.name}`.slice(0, limits.name_bytes / 4),
      create: (channel) => {
        channel.ctx = this.openChannel(channel.thread);
        channel.ctx.refs++;
        return 0;
      },
      destroy: (channel) => channel.ctx.release(),
    });
  }

  /** A channel of the module for one thread; null: for code outside of threads. */
  openChannel(thread: Thread | null): ThreadChannel {
    const channel = new ThreadChannel(this, thread, this.backend?.createChannel() ?? makeHomeChannel(this));
    this.channels.add(channel);
    return channel;
  }

  /** True when a request of `type` (IO_*) is taken: by the module, or emulated by the layer. */
  ioTypeSupported(type: number): boolean {
    return (this.ioTypes & (1 << type)) !== 0;
  }

  /** This reactor's backend. @throws {SpdkError} ENODEV on a core that has none. */
  get ownBackend(): BdevBackend {
    if (this.backend === null) {
      throw new SpdkError('ENODEV', `bdev "${this.name}" lives on core ${this.homeCore} only`);
    }
    return this.backend;
  }

  /** True while it can be opened. */
  get ready(): boolean {
    return !this.removing && this.shared.state === BDEV_READY;
  }

  /** Nothing here holds on to it. */
  get released(): boolean {
    return this.descs.size === 0 && this.channels.size === 0;
  }

  /** A descriptor or channel went away. */
  checkReleased(): void {
    if (this.onReleased === null || !this.released) return;
    const call = this.onReleased;
    this.onReleased = null;
    call();
  }

  /** Sums of all channels of this reactor. */
  collectStat(into: IoStat): void {
    into.add(this.pastStat);
    for (const channel of this.channels) into.add(channel.stat);
  }
}
