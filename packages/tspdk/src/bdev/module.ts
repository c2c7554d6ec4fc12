/**
 * What a bdev module implements: the contract between the block layer (mechanism) and a kind of disk (policy).
 *
 * Three parts, by where they run. `BdevModule` is control, on the app core: it makes and ends disks. `BdevBackend` is one disk on one reactor,
 * made from the disk's spec, which crosses by structured clone. `BackendChannel` is the data path of one lightweight thread:
 * `submit` takes an I/O and answers by `io.complete(status)`, at once or later, on the same reactor. The layer has already checked range,
 * alignment, memory bounds and permission; it defers answers given from inside `submit`, so a module may complete at once.
 * A module registers itself when its file is loaded; every reactor loads the same files.
 */
import { SpdkError } from '../env/errors.ts';
import type { IoVecs } from '../env/iovecs.ts';
import type { Reactor } from '../event/reactor.ts';
import type { BaseBdev } from './base-bdev.ts';
import type { Bdev } from './bdev.ts';
import type { BdevIo, BdevIoDone } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import type { Extents } from './extents.ts';
import type { MetadataFormat } from './metadata.ts';

/** What a disk is. Structured-cloneable. */
export interface BdevSpec {
  /** The same on every reactor; never used again. Given by the layer. */
  readonly id: number;
  readonly name: string;
  readonly aliases: readonly string[];
  /** Lower case, canonical. */
  readonly uuid: string;
  readonly moduleName: string;
  readonly productName: string;
  readonly blockSizeBytes: number;
  readonly blocks: number;
  readonly writable: boolean;
  /** Mask of `1 << IO_*` that the module takes. With IO_ZCOPY: reads, writes and zeroes at any byte, and `zcopy` in its channels. */
  readonly ioTypes: number;
  /** Completed writes may be lost with the machine until a flush. */
  readonly volatileCache: boolean;
  /** The core that alone may run the backend; -1 when every core has its own. */
  readonly homeCore: number;
  /** 0, or one more than the highest of the disks that it stands on. */
  readonly level: number;
  readonly limits: BdevLimits;
  /** What its blocks have beside data. */
  readonly metadata: MetadataFormat | null;
  /** State that all cores see: see shared-state.ts and qos.ts. */
  readonly shared: SharedArrayBuffer;
  readonly qos: SharedArrayBuffer;
  /** The module's own. */
  readonly data: unknown;
}

/** Preferences and bounds of a disk, in blocks where nothing else is said; 0 says nothing. */
export interface BdevLimits {
  readonly physicalBlockSizeBytes: number;
  readonly optimalIoBoundaryBlocks: number;
  readonly preferredWriteAlignmentBlocks: number;
  readonly preferredWriteGranularityBlocks: number;
  readonly optimalWriteSizeBlocks: number;
  readonly preferredUnmapAlignmentBlocks: number;
  readonly preferredUnmapGranularityBlocks: number;
  /** No read or write may cross a multiple of `optimalIoBoundaryBlocks`: the layer splits. */
  readonly splitOnOptimalIoBoundary: boolean;
  /** Writes are of whole units of so many blocks, at a multiple of them; with `splitOnWriteUnit` the layer makes each unit a write. */
  readonly writeUnitBlocks: number;
  readonly splitOnWriteUnit: boolean;
  /**
   * Most blocks of one read, write or compare, and most pieces of memory, and most bytes of a piece: the layer splits. What has to be one step it does not: with any of these, or a boundary, it
   * compares and writes by itself, under a lock, even where the disk could.
   */
  readonly maxRwBlocks: number;
  readonly maxSegments: number;
  readonly maxSegmentBytes: number;
  /**
   * Memory of reads and writes begins at multiples of so many bytes, a power of two up to 4,096, and every piece but the last is a multiple of them; what is not goes through a buffer of the layer (SPDK: required_alignment,
   * which is a logarithm). 0 or 1: anywhere.
   */
  readonly requiredAlignmentBytes: number;
  readonly maxUnmapBlocks: number;
  readonly maxWriteZeroesBlocks: number;
  readonly maxCopyBlocks: number;
}

/** Blocks of the least write. */
export function unitBlocks({ writeUnitBlocks }: Pick<BdevLimits, 'writeUnitBlocks'>): number {
  return Math.max(1, writeUnitBlocks);
}

/** What a module's `create` gives; the rest is the layer's or has a default. */
export interface NewBdev {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly uuid?: string | undefined;
  readonly productName: string;
  /** 512 times something. What is larger than a large I/O buffer (132 KiB) the layer can neither compare nor copy, align or protect. */
  readonly blockSizeBytes: number;
  readonly blocks: number;
  readonly writable?: boolean;
  readonly ioTypes: number;
  readonly volatileCache?: boolean;
  readonly homeCore?: number;
  readonly limits?: Partial<BdevLimits>;
  /** What its blocks have beside data. The module then takes whole blocks, with `io.mdIovs` where it is separate, and zeroes and unmaps its metadata to all ones. */
  readonly metadata?: MetadataFormat | null;
  /** The disks it stands on, which `create` has opened. They are the layer's from now on. */
  readonly bases?: readonly BaseBdev[];
  /** For a module that keeps its bases itself: above all that it will ever stand on. Default: above `bases`. */
  readonly level?: number;
  readonly data: unknown;
}

/**
 * What a disk of each kind is made from, by the kind's name. Empty here: whoever makes a kind known adds it, by `declare module`, and `BdevRegistry.create` then takes those
 * parameters alone.
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is added to
export interface BdevModuleParams {}
/** The name of a kind of disk; of one that has not said what it is made from, anything is taken. */
export type BdevModuleName = keyof BdevModuleParams | (string & {});
/** What a disk of the kind `M` is made from. */
export type BdevParams<M extends BdevModuleName> = M extends keyof BdevModuleParams ? BdevModuleParams[M] : unknown;

/** A call that would make a disk again (save_config). */
export interface BdevConfigCall {
  readonly method: string;
  readonly params: Record<string, unknown>;
}

/** Instead of a call that would make a disk which is found where it lies: what names it has it then. */
export const WAIT_FOR_EXAMINE: BdevConfigCall = { method: 'bdev_wait_for_examine', params: {} };

/** A kind of disk. App core, but for `attach`. */
export interface BdevModule<P = unknown> {
  readonly name: string;
  /** Checks `params` and takes what the disk needs. The layer then attaches it on every reactor. @throws {SpdkError} */
  create(params: P, reactor: Reactor): Promise<NewBdev> | NewBdev;
  /** One reactor's part of the disk; on the home core only, when it has one. */
  attach(spec: BdevSpec, reactor: Reactor): Promise<BdevBackend> | BdevBackend;
  /** The disk is there, for everybody. */
  made?(bdev: Bdev, reactor: Reactor): Promise<void> | void;
  /** Every reactor has let go: give back what `create` took. Also called with `spec.data` when attaching failed. */
  destroy(spec: Pick<BdevSpec, 'name' | 'data'>, reactor: Reactor): Promise<void> | void;
  /** What of the params it was made of is another now: when it goes with its base, it comes back so. */
  changedParams?(spec: BdevSpec): Record<string, unknown>;
  /** `driver_specific` of bdev_get_bdevs. */
  dumpInfo?(spec: BdevSpec, reactor: Reactor): Record<string, unknown>;
  /** WAIT_FOR_EXAMINE for a disk that comes by itself. */
  configCalls(spec: BdevSpec, reactor: Reactor): BdevConfigCall[];
  /** What the disk stands on now, of a module that keeps its bases itself; they are saved before it. Default: `NewBdev.bases`. */
  bases?(spec: BdevSpec, reactor: Reactor): readonly Bdev[];
}

/** One disk on one reactor. */
export interface BdevBackend {
  /** For one lightweight thread. */
  createChannel(): BackendChannel;
  /** The disk has another size from now on. */
  resize?(blocks: number): void;
  /** Nobody has a channel any more. */
  close(): Promise<void> | void;
}

/** Where an I/O goes on to as it is, so many bytes further on (Linux: dm-linear). */
export interface Onward {
  readonly base: BdevChannel;
  readonly offsetBytes: number;
}

/** The data path of one lightweight thread. */
export interface BackendChannel {
  submit(io: BdevIo): void;
  /** Completes `io` early (-ECANCELED) if that is possible. True when it was, or will be, because of this call. */
  abort?(io: BdevIo): boolean;
  /**
   * Appends the pieces of the disk's own memory that hold the range; false when that cannot be done or there is no room.
   * `write`: the caller will change the bytes, and says so again by `zcopyWritten` when it has changed the first `bytes`, which may be
   * none.
   */
  zcopy?(byteOffset: number, bytes: number, out: IoVecs, write: boolean): boolean;
  zcopyWritten?(byteOffset: number, bytes: number): void;
  /** Appends extents from `byteOffset` on; fewer than asked when `out` is full. 0 or a negative errno. */
  blockStatus?(byteOffset: number, bytes: number, out: Extents): number;
  /**
   * The disk is being reset, and no core has an I/O of it under way: resets what it stands on (`resetBases`). `cb` is called once, at once or later. On the
   * core that asked; on the home core, when the disk has one.
   */
  reset?(cb: BdevIoDone, ctx: unknown): void;
  /** Set where reads and writes go on to a base as they are: the layer may then take them there itself, and `submit` sees only those that it does not. */
  readonly onward?: Onward;
  /** Every I/O has completed. */
  close(): void;
}

const modules = new Map<string, BdevModule>();

/** Makes a kind of disk known. At module load. @throws {SpdkError} EEXIST */
export function registerBdevModule<P>(module: BdevModule<P>): BdevModule<P> {
  if (modules.has(module.name)) throw new SpdkError('EEXIST', `bdev module "${module.name}" is already registered`);
  modules.set(module.name, module as BdevModule);
  return module;
}

/** @throws {SpdkError} ENOENT */
export function bdevModule(name: string): BdevModule {
  const module = modules.get(name);
  if (module === undefined) {
    throw new SpdkError('ENOENT', `no bdev module "${name}"; loaded: ${[...modules.keys()].join(', ') || 'none'}`);
  }
  return module;
}
