/**
 * defineBdevModule: a kind of disk of one's own with the block layer's whole contract, where `defineDisk` is its comfortable part. What a user's module file exports by
 * default: channels on every reactor, I/O as pieces of shared memory without a copy, zero copy, disks on other disks.
 *
 * Three parts, by where they run. `create` on the app core says what the disk is, with `data` that every reactor gets by structured clone. `attach` on every reactor
 * makes that reactor's part of it, whose `createChannel` makes the data path of each lightweight thread: `submit` takes an I/O and calls `io.complete(status)` once, at once or
 * later, on the same reactor. Every reactor loads the file by itself: variables of the module are one reactor's, what all share is memory (`shareSegment`).
 *
 * A module that finds its disks on others has `examine` besides. That runs where no disk of the module need be yet, so a program loads such a file by itself (`loadBdevModule`).
 */
import type { BaseBdev } from '../../../bdev/base-bdev.ts';
import { resetBases } from '../../../bdev/base-reset.ts';
import type { Bdev } from '../../../bdev/bdev.ts';
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import type { Extents } from '../../../bdev/extents.ts';
import {
  type BdevLimits,
  type BdevSpec,
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  IO_ZCOPY,
  type NewBdev,
} from '../../../bdev/index.ts';
import { type MetadataFormat, metadataFormat } from '../../../bdev/metadata.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import type { Segment } from '../../../env/segment.ts';
import type { Reactor } from '../../../event/reactor.ts';
import type { IoStatus } from './io-status.ts';

/** What a disk can be asked for, by name. What it does not take the block layer does by other I/Os where it can: zeroes by writes, compares and copies by reads. */
const IO_TYPES = {
  read: IO_READ,
  write: IO_WRITE,
  unmap: IO_UNMAP,
  flush: IO_FLUSH,
  write_zeroes: IO_WRITE_ZEROES,
  zcopy: IO_ZCOPY,
  compare: IO_COMPARE,
  compare_and_write: IO_COMPARE_AND_WRITE,
  copy: IO_COPY,
} as const;
/** What a disk can be asked for, by name. */
export type IoTypeName = keyof typeof IO_TYPES;
/** What is carried to a home core. */
const CARRIED = ['read', 'write', 'unmap', 'flush', 'write_zeroes', 'compare'] as const;
/** What a disk with a home core can be asked for. */
export type CarriedIoTypeName = (typeof CARRIED)[number];

/** Pieces of memory, to read from: `bytes[i]` bytes at `offset[i]` of `segment[i]`, for i below `count`. */
export interface MemoryPieces {
  readonly count: number;
  readonly totalBytes: number;
  readonly segment: readonly (Segment | null)[];
  readonly offset: { readonly [i: number]: number };
  readonly bytes: { readonly [i: number]: number };
}

/** An I/O that a channel has to carry out. Range, memory and permission have been checked, and that it is of whole blocks; but a disk that names `zcopy` takes reads and writes of any bytes. */
export interface ModuleIo {
  /** One of IO_READ, IO_WRITE, ...: only types that the disk has named. */
  readonly type: (typeof IO_TYPES)[IoTypeName];
  readonly byteOffset: number;
  readonly bytes: number;
  /** IO_FLAG_FUA: complete when the data is safe; IO_FLAG_NO_HOLE: zeroes keep their space. */
  readonly flags: number;
  /** Where the data lies: to be filled by a read, to be stored by a write. Not to be touched after `complete`. */
  readonly iovs: MemoryPieces;
  /** The metadata of a read's or write's blocks, one after the other, where the disk has it in memory of its own. Null: the caller has none, and the disk's is as it likes. */
  readonly mdIovs: MemoryPieces | null;
  /** What a compare-and-write writes, if the disk holds `iovs`. */
  readonly writeIovs: MemoryPieces | null;
  /** Where a copy comes from. */
  readonly sourceOffset: number;
  /** The channel's own, while it has the I/O. */
  driver: unknown;
  /** Ends it, once: `io.complete(0)`, or with what `ioStatus('ENOSPC')` gave. On the reactor that was asked. */
  complete(status: IoStatus): void;
}

/** What a reset ends with. */
export type ResetDone = (status: IoStatus) => void;

/** The data path of one lightweight thread. */
export interface ModuleChannel {
  submit(io: ModuleIo): void;
  /** Ends `io` early with ECANCELED, if that is possible. True when it has, or will. */
  abort?(io: ModuleIo): boolean;
  /**
   * Appends the pieces of the disk's own shared memory that hold the range: all of it, and true; or false, as when there is no room in `out` (what it has appended then is dropped). Needed by a disk that names `zcopy`.
   * `write`: the caller will change the bytes, and calls `zcopyWritten` when it has.
   */
  zcopy?(byteOffset: number, bytes: number, out: IoVecs, write: boolean): boolean;
  zcopyWritten?(byteOffset: number, bytes: number): void;
  /** Appends what is allocated, from `byteOffset` on; 0, or a status. */
  blockStatus?(byteOffset: number, bytes: number, out: Extents): IoStatus;
  /**
   * The disk is being reset, and no core has an I/O of it under way: resets what it stands on (`forwardReset`), and calls `done` once, at once or later. On the reactor that
   * asked; on the home core, when the disk has one.
   */
  reset?(done: ResetDone): void;
  /** Every I/O has completed. */
  close?(): void;
}

/** One disk on one reactor. */
export interface ModuleBackend {
  createChannel(): ModuleChannel;
  /** The disk has another size from now on. */
  resize?(blocks: number): void;
  /** Nobody has a channel any more. */
  close?(): Promise<void> | void;
}

/** What a disk's blocks have beside data (SPDK: md_len, md_interleave, dif_type). The layer generates, checks and strips protection information; the disk keeps the bytes. */
export interface ModuleMetadata {
  /** Of a block; with protection information 8 at least. */
  readonly bytes: number;
  /** Behind the data in each block, and a part of `blockSizeBytes`; else in `mdIovs`. */
  readonly interleaved: boolean;
  /** Type of protection information; 0, the default: none. */
  readonly difType?: 0 | 1 | 2 | 3;
  /** It is the first, not the last 8 bytes of the metadata. Default false. */
  readonly difIsHeadOfMd?: boolean;
}

/** What `create` says of a disk: what all have, and where it runs. */
export type NewModuleBdev<Data> = ModuleBdev<Data> & (OnEveryCore | OnHomeCore);

/** Every core runs its own part. */
interface OnEveryCore {
  readonly homeCore?: undefined;
  /** `read` at least; a disk without `write` is read-only. */
  readonly ioTypes: readonly IoTypeName[];
  /** What its blocks have beside data. Default: nothing. */
  readonly metadata?: ModuleMetadata;
}

/** One core alone runs it; all others' I/O is carried there. */
interface OnHomeCore {
  readonly homeCore: number;
  /** `read` at least; a disk without `write` is read-only. */
  readonly ioTypes: readonly CarriedIoTypeName[];
  readonly metadata?: undefined;
}

interface ModuleBdev<Data> {
  /** With metadata in the blocks its bytes count. */
  readonly sizeBytes: number;
  /** A multiple of 512, from 512 on, and the bytes of metadata that is in the blocks. Default 512. */
  readonly blockSizeBytes?: number;
  /** What completed may be lost with the machine until a flush. Default: whether it takes `flush`. */
  readonly volatileCache?: boolean;
  /** Bounds and preferences: the layer splits what exceeds them. */
  readonly limits?: Partial<BdevLimits>;
  /** More names of it. */
  readonly aliases?: readonly string[];
  /** Default: what the user said, or a new one. */
  readonly uuid?: string;
  /** Disks that it stands on, from `BaseBdev.open`. The layer's from now on: it removes this disk with them. */
  readonly bases?: readonly BaseBdev[];
  /** For `attach` on every reactor, by structured clone: no functions; a SharedArrayBuffer stays shared. */
  readonly data: Data;
}

/** A disk, as `attach` on each reactor gets it. */
export interface ModuleBdevSpec<Data> extends BdevSpec {
  readonly data: Data;
}

/** A disk of the module, by its name and what `create` gave. */
export interface ModuleDisk<Data> {
  readonly name: string;
  readonly data: Data;
}

/** What a disk is made from that `examine` has found. */
export interface FoundDisk<Options> {
  readonly name: string;
  /** What `create` gets, as `options` would give it. */
  readonly options: Options;
  /** Default: what `create` says, or a new one. */
  readonly uuid?: string;
}

/** A disk that has come and that nobody has claimed, as `examine` looks at it. */
export interface ExaminedDisk<Options> {
  readonly bdev: Bdev;
  /**
   * A copy of `bytes` bytes from `byteOffset` on; not only whole blocks. Of a disk with metadata in its blocks they are as they lie there.
   * @throws {SpdkError} EINVAL what lies outside; EIO; ENODEV when the disk is going
   */
  read(byteOffset: number, bytes: number): Promise<Uint8Array>;
  /**
   * Makes a disk of this module on it: an instance of the file of its own, whose `create` opens the disk and names it in `bases`. It goes with the disk, and save_config leaves it out, as it is found again.
   * @throws {SpdkError} EEXIST for a name that is taken; EINVAL when its `bases` are without the disk; what the module throws
   */
  create(found: FoundDisk<Options>): Promise<Bdev>;
}

/** A kind of disk. */
export interface BdevModuleDefinition<Options, Data> {
  /** What it is called in messages and in `driver_specific`. */
  readonly name: string;
  /** Checks what the user said (JSON; `--option KEY=VALUE` gives text). Without it `create` gets it as it is. */
  options?(said: Readonly<Record<string, unknown>>): Options;
  /** App core: takes what the disk needs and says what it is. */
  create(request: { readonly name: string; readonly options: Options }, reactor: Reactor): NewOrPromise<Data>;
  /** Every reactor, or the home core only: that reactor's part. */
  attach(spec: ModuleBdevSpec<Data>, reactor: Reactor): Promise<ModuleBackend> | ModuleBackend;
  /** App core: the disk is there, for everybody. What it throws removes it again. */
  made?(bdev: Bdev, reactor: Reactor): Promise<void> | void;
  /** App core: what `driver_specific` of bdev_get_bdevs says of a disk just now. JSON. */
  dumpInfo?(disk: ModuleDisk<Data>, reactor: Reactor): Readonly<Record<string, unknown>>;
  /** App core: every reactor has let go; gives back what `create` took. Also when attaching failed. */
  destroy?(disk: ModuleDisk<Data>, reactor: Reactor): Promise<void> | void;
  /**
   * App core, once the file has been loaded by `loadBdevModule`: looks at each disk that comes, once, and makes what it finds on it (SPDK: examine_disk). Not called for disks of its own file, nor for those that somebody has claimed.
   * What it throws is logged.
   */
  examine?(disk: ExaminedDisk<Options>, reactor: Reactor): Promise<void> | void;
}
type NewOrPromise<Data> = Promise<NewModuleBdev<Data>> | NewModuleBdev<Data>;

/** Has the disk below do `io`, at `byteOffset` of it, and ends `io` as that ends. For disks on disks; aborts are the layer's. */
export function forwardIo(base: BdevChannel, io: ModuleIo, byteOffset: number = io.byteOffset): void {
  const rc = base.forward(io as unknown as BdevIo, byteOffset, forwarded, io);
  // -ENOMEM too: the layer has it wait and submits it again.
  if (rc !== 0) io.complete(rc as IoStatus);
}

/** Resets the disks below, and ends with the first status that is not 0; one that is going needs none. For `reset` of disks on disks. */
export function forwardReset(bases: readonly BdevChannel[], done: ResetDone): void {
  resetBases(bases, (_, status) => done(status as IoStatus), null);
}

function forwarded(io: unknown, status: number): void {
  (io as ModuleIo).complete(status as IoStatus);
}

const BRAND = Symbol.for('tspdk.bdev_module');

/** A checked definition, whatever its options and data. */
export type UserBdevModule = BdevModuleDefinition<unknown, unknown>;

/**
 * Checks a definition. Export it by default, and the file is a disk for `tspdk serve`, `tspdk perf`, `bdev_disk_create` and `startTarget`.
 * @throws {SpdkError} EINVAL naming the property and its value
 */
export function defineBdevModule<Options = Readonly<Record<string, unknown>>, Data = undefined>(
  definition: BdevModuleDefinition<Options, Data>,
): BdevModuleDefinition<Options, Data> {
  const refuse = (what: string) => new SpdkError('EINVAL', `defineBdevModule: ${what}`);
  if (typeof definition.name !== 'string' || !/^[A-Za-z0-9_.-]{1,64}$/.test(definition.name)) {
    throw refuse(`name is ${JSON.stringify(definition.name)}; it is 1 to 64 letters, digits, ".", "_" or "-"`);
  }
  for (const key of ['create', 'attach'] as const) {
    if (typeof definition[key] !== 'function') throw refuse(`${key} of module "${definition.name}" is missing`);
  }
  for (const key of ['options', 'made', 'dumpInfo', 'destroy', 'examine'] as const) {
    const value: unknown = definition[key];
    if (value !== undefined && typeof value !== 'function') {
      throw refuse(`${key} of module "${definition.name}" is ${String(value)}; it is a function`);
    }
  }
  return Object.defineProperty(definition, BRAND, { value: true });
}

/** True for what `defineBdevModule` gave, also that of another copy of this package. */
export function isBdevModule(value: unknown): value is UserBdevModule {
  return typeof value === 'object' && value !== null && (value as { [BRAND]?: unknown })[BRAND] === true;
}

/** What `create` gave, as the layer takes it. @throws {SpdkError} EINVAL naming disk, property, value and what it may be */
export function newBdevOf(
  kind: string,
  name: string,
  made: NewModuleBdev<unknown>,
): Omit<NewBdev, 'data' | 'productName'> {
  const refuse = (what: string) => new SpdkError('EINVAL', `bdev "${name}" of module "${kind}": ${what}`);
  if (typeof made !== 'object' || made === null) throw refuse(`create gave ${String(made)}, not what the disk is`);
  const { sizeBytes, blockSizeBytes = 512, ioTypes, homeCore, metadata } = made;
  const beside = metadata?.interleaved === true ? metadata.bytes : 0;
  const dataBytes = blockSizeBytes - beside;
  if (!Number.isInteger(dataBytes) || dataBytes < 512 || dataBytes % 512 !== 0) {
    const more = beside === 0 ? '' : `, and ${beside} bytes of metadata`;
    throw refuse(`blockSizeBytes is ${String(blockSizeBytes)}; it is a multiple of 512${more}`);
  }
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % blockSizeBytes !== 0) {
    throw refuse(
      `sizeBytes is ${String(sizeBytes)}; it is a positive multiple of blockSizeBytes ${blockSizeBytes}, below 2^53`,
    );
  }
  if (!Array.isArray(ioTypes) || !ioTypes.includes('read')) {
    throw refuse(`ioTypes is ${JSON.stringify(ioTypes)}; it is a list with "read" in it`);
  }
  let mask = 0;
  for (const type of ioTypes as readonly IoTypeName[]) {
    if (!Object.hasOwn(IO_TYPES, type)) {
      throw refuse(`ioTypes has ${JSON.stringify(type)}; there are ${Object.keys(IO_TYPES).join(', ')}`);
    }
    if (homeCore !== undefined && !(CARRIED as readonly string[]).includes(type)) {
      throw refuse(`ioTypes has "${type}", which a disk with a homeCore cannot take: ${CARRIED.join(', ')}`);
    }
    if (metadata !== undefined && type === 'zcopy') {
      throw refuse('ioTypes has "zcopy", which a disk with metadata cannot take: it has to be looked at');
    }
    mask |= 1 << IO_TYPES[type];
  }
  return {
    name,
    blockSizeBytes,
    blocks: sizeBytes / blockSizeBytes,
    ioTypes: mask,
    writable: ioTypes.includes('write'),
    volatileCache: made.volatileCache ?? ioTypes.includes('flush'),
    ...(homeCore === undefined ? {} : { homeCore }),
    ...(made.aliases === undefined ? {} : { aliases: made.aliases }),
    ...(made.uuid === undefined ? {} : { uuid: made.uuid }),
    ...(metadata === undefined ? {} : { metadata: formatOf(metadata) }),
    ...(made.limits === undefined ? {} : { limits: made.limits }),
    ...(made.bases === undefined ? {} : { bases: made.bases }),
  };
}

function formatOf({ bytes, interleaved, difType = 0, difIsHeadOfMd = false }: ModuleMetadata): MetadataFormat {
  return metadataFormat({ bytes, interleaved, difType, difIsHeadOfMd });
}
