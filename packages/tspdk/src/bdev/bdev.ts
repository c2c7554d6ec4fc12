/**
 * A block device as one reactor knows it: what it is, and this reactor's backend. Every reactor has a replica of every disk; the registry on the
 * app core makes, resizes and removes them all alike. Read-only for users, who reach the data through a descriptor's channel.
 */
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { IoDevice, type Thread } from '../thread/index.ts';
import { CARRY_PIECES_MAX, makeHomeChannel } from './carry.ts';
import { emulatedTypes } from './carry-out.ts';
import type { DepthSampler } from './depth.ts';
import type { BdevDesc } from './desc.ts';
import { FaultSet } from './faults/fault-set.ts';
import type { ActiveFault } from './faults/watch.ts';
import { Gates } from './gates.ts';
import type { IoStat } from './io-stat.ts';
import {
  IO_ABORT,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_READ,
  IO_RESET,
  IO_WRITE,
  IO_WRITE_ZEROES,
  IO_ZCOPY,
} from './io-type.ts';
import type { LatencyMeter } from './latency.ts';
import { type LockedRange, lockedTypes } from './locked-range.ts';
import type { BdevManager } from './manager.ts';
import { METADATA_TYPES, Metadata } from './metadata.ts';
import type { BdevBackend, BdevLimits, BdevSpec } from './module.ts';
import { NO_QOS, Qos, type QosLimits } from './qos.ts';
import { BDEV_ATTACHING, BDEV_READY, SharedState } from './shared-state.ts';
import { SplitRules } from './split.ts';
import { ThreadChannel } from './thread-channel.ts';

const READ_AND_WRITE = (1 << IO_READ) | (1 << IO_WRITE);
const BYTE_TYPES = (1 << IO_READ) | (1 << IO_WRITE) | (1 << IO_WRITE_ZEROES);
const ONE_STEP = 1 << IO_COMPARE_AND_WRITE;
const TOLD_EMULATIONS = (1 << IO_WRITE_ZEROES) | (1 << IO_COPY);

/** A disk on one reactor (SPDK: struct spdk_bdev). To be looked at: sizes, names, types, limits. `bdevRegistry` finds and changes it, `BdevDesc.open` opens it. */
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
  /** How many disks it stands on, one on another: 0 for none. */
  readonly level: number;
  readonly limits: BdevLimits;
  readonly spec: BdevSpec;
  readonly manager: BdevManager;
  readonly shared: SharedState;
  /** Mask of `1 << IO_*`: what clients are told, the module's own types and some of the layer's. As SPDK, compares are done and not told. */
  readonly ioTypes: number;
  /** What is taken, by the module or the layer, but for resets and aborts. */
  readonly takenTypes: number;
  /** What goes to the module as it is, whatever its range and memory. */
  readonly plainTypes: number;
  /** What it takes at any byte: what is memory needs no whole blocks. */
  readonly byteTypes: number;
  /** What its blocks have beside data; null: nothing. */
  readonly metadata: Metadata | null;
  /** How I/Os have to be split. */
  readonly split: SplitRules;
  /** Types that a lock of a range holds back. */
  readonly lockedTypes: number;
  /** Ranges that are locked; every core has the same. */
  readonly lockedRanges: LockedRange[] = [];
  /** What is to go wrong; null: nothing. */
  faults: FaultSet | null = null;
  /** The same, which stays when its rules are gone; null: there never were any. */
  faultSet: FaultSet | null = null;
  /** Its rate limits; null: there is none. */
  qos: Qos | null = null;
  /** What they are. App core only. */
  rates: QosLimits = NO_QOS;
  /** How long its I/Os take on this core; null: nobody wants to know. */
  meter: LatencyMeter | null = null;
  /** Looks at its queue depth; null: nobody wants to know. */
  sampler: DepthSampler | null = null;
  /** What is given to the module: all that it takes, but for compare-and-writes where it has limits. */
  readonly moduleIoTypes: number;
  blocks: number;
  sizeBytes = Number.MAX_SAFE_INTEGER;
  /** Being removed: nothing new is taken. */
  removing = false;
  /** Resets under way, as far as this core has been told. */
  resetting = 0;
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
    this.level = spec.level;
    this.limits = spec.limits;
    this.blocks = spec.blocks;
    this.sizeBytes = spec.blocks * spec.blockSizeBytes;
    this.manager = manager;
    this.shared = new SharedState(spec.shared);
    const { largeBytes } = manager.reactor.iobuf;
    const emulated = emulatedTypes(spec, largeBytes);
    this.metadata = spec.metadata === null ? null : new Metadata(spec.metadata, spec.blockSizeBytes);
    const away = spec.homeCore >= 0 && spec.homeCore !== manager.reactor.core;
    this.split = new SplitRules(spec.limits, spec.blockSizeBytes, largeBytes, away ? CARRY_PIECES_MAX : undefined);
    // In pieces it would not be one step.
    this.moduleIoTypes = spec.ioTypes & ~(this.split.types & emulated & ONE_STEP);
    this.lockedTypes = lockedTypes(this.moduleIoTypes);
    this.takenTypes = spec.ioTypes | emulated;
    this.ioTypes = spec.ioTypes | (emulated & TOLD_EMULATIONS) | (1 << IO_RESET) | (1 << IO_ABORT);
    // Pieces are of whole blocks.
    this.byteTypes = (spec.ioTypes & (1 << IO_ZCOPY)) === 0 ? 0 : spec.ioTypes & BYTE_TYPES & ~this.split.types;
    this.plainTypes = this.moduleIoTypes & ~this.split.types & ~(this.metadata === null ? 0 : METADATA_TYPES);
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
    channel.resetting = this.resetting;
    this.channels.add(channel);
    this.#setGates(channel);
    return channel;
  }

  /** A range is locked from now on. */
  lock(range: LockedRange): void {
    this.lockedRanges.push(range);
    for (const channel of this.channels) this.#setGates(channel);
  }

  /** It is locked no more. */
  unlock(ptr: number): void {
    this.lockedRanges.splice(
      this.lockedRanges.findIndex((range) => range.ptr === ptr),
      1,
    );
    for (const channel of this.channels) {
      channel.gates?.lifted();
      this.#setGates(channel);
    }
  }

  /** Its rates are limited from now on, or not any more. */
  limitRates(on: boolean): void {
    this.qos = on ? new Qos(this.spec.qos, this.manager.reactor.clock) : null;
    for (const channel of this.channels) {
      channel.gates?.retry();
      this.#setGates(channel);
    }
  }

  /** Replaces what is to go wrong. What is held back stays so. */
  setFaults(rules: readonly ActiveFault[], state: SharedArrayBuffer): void {
    this.faultSet ??= new FaultSet(this);
    this.faultSet.set(rules, state);
    this.faults = rules.length > 0 ? this.faultSet : null;
  }

  #setGates(channel: ThreadChannel): void {
    if (this.qos !== null || this.lockedRanges.length > 0) channel.gates ??= new Gates(channel);
    else if (channel.gates?.count === 0) channel.gates = null;
  }

  /** Whether it is its name or an alias. */
  isCalled(name: string): boolean {
    return name === this.name || this.aliases.includes(name);
  }

  /** True when a request of `type` (IO_*) is taken: by the module, or emulated by the layer. */
  ioTypeSupported(type: number): boolean {
    return (this.ioTypes & (1 << type)) !== 0;
  }

  /** Reads and writes may begin and end at any byte. */
  get takesBytes(): boolean {
    return (
      (this.byteTypes & READ_AND_WRITE) !== 0 &&
      (this.byteTypes & READ_AND_WRITE) === (this.moduleIoTypes & READ_AND_WRITE)
    );
  }

  /** What whoever sees its data alone takes for its size. */
  get dataSizeBytes(): number {
    return this.metadata === null ? this.sizeBytes : this.blocks * this.metadata.dataBytes;
  }

  /** This reactor's backend. @throws {SpdkError} ENODEV on a core that has none. */
  get ownBackend(): BdevBackend {
    if (this.backend === null) {
      throw new SpdkError('ENODEV', `bdev "${this.name}" lives on core ${this.homeCore} only`);
    }
    return this.backend;
  }

  /** Not every core has it: what was told to all of them now would not reach those. */
  get attaching(): boolean {
    return this.shared.state === BDEV_ATTACHING;
  }

  /** True while it can be opened: every core has it, and it is not to go. */
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
