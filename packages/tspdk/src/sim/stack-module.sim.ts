/**
 * Disks as users write them, for simulations: over shared memory, by the whole contract (`defineBdevModule`) or by async functions (`defineDisk`), and on another disk. Their files cannot be loaded in a simulation, so
 * the module "sim-user" stands for the loader, and for nothing else of theirs.
 */
import { BaseBdev, type BaseRef, openBase } from '../bdev/base-bdev.ts';
import {
  type BdevLimits,
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  registerBdevModule,
} from '../bdev/index.ts';
import { dropSegment, shareSegment } from '../bdev/segments.ts';
import { ECANCELED, EILSEQ } from '../bdev/status.ts';
import type { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import type { Reactor } from '../event/reactor.ts';
import {
  type BdevModuleDefinition,
  defineBdevModule,
  forwardIo,
  forwardReset,
  type IoTypeName,
  type MemoryPieces,
  type ModuleBackend,
  type ModuleChannel,
  type ModuleIo,
  type NewModuleBdev,
  newBdevOf,
  type UserBdevModule,
} from '../module/bdev/disk/define-bdev-module.ts';
import { type Disk, defineDisk } from '../module/bdev/disk/define-disk.ts';
import type { IoStatus } from '../module/bdev/disk/io-status.ts';
import { UserModuleBackend } from '../module/bdev/disk/module-backend.ts';
import { simCore } from './isolation.ts';
import type { SimCore } from './sim-core.ts';

/** What a disk of one's own over memory is made from. */
export interface UserMemoryOptions {
  readonly blocks: number;
  readonly blockBytes: number;
  readonly ioTypes: readonly IoTypeName[];
  /** -1: every core runs its part. */
  readonly homeCore: number;
  /** Most µs that an I/O takes. */
  readonly delayUs: number;
  readonly limits: Partial<BdevLimits>;
}

interface MemoryData {
  readonly segment: number;
  readonly delayUs: number;
}

/** Takes effect when it ends, in one step. */
class MemoryChannel implements ModuleChannel {
  readonly #disk: Segment;
  readonly #delayUs: number;
  readonly #thread = simCore() as SimCore;
  readonly #outstanding = new Set<ModuleIo>();

  constructor(disk: Segment, delayUs: number) {
    this.#disk = disk;
    this.#delayUs = delayUs;
  }

  submit(io: ModuleIo): void {
    if (this.#thread.random.chance(0.3)) {
      io.complete(this.#execute(io) as IoStatus);
      return;
    }
    this.#outstanding.add(io);
    this.#thread.after(this.#thread.random.int(this.#delayUs + 1), () => {
      if (this.#outstanding.delete(io)) io.complete(this.#execute(io) as IoStatus);
    });
  }

  abort(io: ModuleIo): boolean {
    if (!this.#outstanding.delete(io)) return false;
    io.complete(ECANCELED as IoStatus);
    return true;
  }

  zcopy(byteOffset: number, bytes: number, out: IoVecs): boolean {
    if (out.full) return false;
    out.push(this.#disk, byteOffset, bytes);
    return true;
  }

  #execute({ type, byteOffset, bytes, iovs, writeIovs, sourceOffset }: ModuleIo): number {
    const { u8 } = this.#disk;
    if (type === IO_UNMAP || type === IO_WRITE_ZEROES) u8.fill(0, byteOffset, byteOffset + bytes);
    else if (type === IO_COPY) u8.copyWithin(byteOffset, sourceOffset, sourceOffset + bytes);
    else if (type === IO_READ) each(iovs, byteOffset, (memory, at) => memory.set(u8.subarray(at, at + memory.length)));
    else if (type === IO_WRITE) each(iovs, byteOffset, (memory, at) => u8.set(memory, at));
    else if (type === IO_COMPARE || type === IO_COMPARE_AND_WRITE) {
      let equal = true;
      each(iovs, byteOffset, (memory, at) => {
        equal = equal && Buffer.compare(memory, u8.subarray(at, at + memory.length)) === 0;
      });
      if (!equal) return EILSEQ;
      if (writeIovs !== null) each(writeIovs, byteOffset, (memory, at) => u8.set(memory, at));
    }
    return 0;
  }
}

function each(pieces: MemoryPieces, byteOffset: number, fn: (memory: Uint8Array, at: number) => void): void {
  let at = byteOffset;
  for (let i = 0; i < pieces.count; i++) {
    const { u8 } = pieces.segment[i] as Segment;
    fn(u8.subarray(pieces.offset[i], pieces.offset[i] + pieces.bytes[i]), at);
    at += pieces.bytes[i];
  }
}

const memoryModule = defineBdevModule<UserMemoryOptions, MemoryData>({
  name: 'user-memory',
  async create({ options }, reactor) {
    const { blocks, blockBytes, ioTypes, homeCore, delayUs, limits } = options;
    const segment = await shareSegment(reactor, blocks * blockBytes);
    const place = { ioTypes, ...(homeCore < 0 ? {} : { homeCore }) };
    const sizes = { sizeBytes: blocks * blockBytes, blockSizeBytes: blockBytes, limits };
    return { ...sizes, ...place, data: { segment, delayUs } } as NewModuleBdev<MemoryData>;
  },
  attach: ({ data }, reactor) => {
    const disk = reactor.segments.get(data.segment);
    return { createChannel: () => new MemoryChannel(disk, data.delayUs) };
  },
  destroy: ({ data }, reactor) => dropSegment(reactor, data.segment),
});

/** What a disk of one's own on another is made from: it is the base's blocks from one on. */
export interface UserFilterOptions {
  readonly base: string;
  readonly offsetBlocks: number;
  readonly homeCore: number;
}

interface FilterData {
  readonly base: BaseRef;
  readonly offsetBytes: number;
}

const NAMES: readonly (readonly [IoTypeName, number])[] = [
  ['read', 1],
  ['write', 2],
  ['unmap', 3],
  ['flush', 4],
  ['write_zeroes', 9],
  ['compare', 14],
  ['compare_and_write', 15],
  ['copy', 19],
];

const filterModule = defineBdevModule<UserFilterOptions, FilterData>({
  name: 'user-filter',
  create({ options: { base, offsetBlocks, homeCore } }, reactor) {
    const below = BaseBdev.open(reactor, base);
    const { bdev } = below;
    const away = homeCore >= 0;
    const taken = NAMES.filter(([, type]) => (bdev.takenTypes & (1 << type)) !== 0 && !(away && type > 14));
    const { writeUnitBlocks, splitOnWriteUnit } = bdev.limits;
    return {
      sizeBytes: (bdev.blocks - offsetBlocks) * bdev.blockSizeBytes,
      blockSizeBytes: bdev.blockSizeBytes,
      ioTypes: taken.map(([name]) => name),
      limits: { writeUnitBlocks, splitOnWriteUnit },
      volatileCache: bdev.volatileCache,
      ...(away ? { homeCore } : {}),
      bases: [below],
      data: { base: below.ref, offsetBytes: offsetBlocks * bdev.blockSizeBytes },
    } as NewModuleBdev<FilterData>;
  },
  attach({ data }, reactor): ModuleBackend {
    const below = openBase(data.base, reactor);
    return {
      createChannel: () => {
        const channel = below.getIoChannel();
        return {
          submit: (io) => forwardIo(channel, io, io.byteOffset + data.offsetBytes),
          reset: (done) => forwardReset([channel], done),
          close: () => channel.close(),
        };
      },
      close: () => below.close(),
    };
  },
});

const MODULES = { memory: memoryModule, filter: filterModule };

export interface SimUserParams {
  readonly name: string;
  readonly module: keyof typeof MODULES;
  readonly options: UserMemoryOptions | UserFilterOptions;
}

interface SimUserData {
  readonly module: keyof typeof MODULES;
  readonly theirs: unknown;
}

const moduleOf = ({ module }: { readonly module: keyof typeof MODULES }): UserBdevModule =>
  MODULES[module] as unknown as BdevModuleDefinition<unknown, unknown>;

registerBdevModule<SimUserParams>({
  name: 'sim-user',
  async create(params: SimUserParams, reactor: Reactor) {
    const module = moduleOf(params);
    const made = await module.create(params, reactor);
    const data: SimUserData = { module: params.module, theirs: made.data };
    return { ...newBdevOf(module.name, params.name, made), productName: module.name, data };
  },
  async attach(spec, reactor) {
    const data = spec.data as SimUserData;
    const module = moduleOf(data);
    return new UserModuleBackend(spec, module.name, await module.attach({ ...spec, data: data.theirs }, reactor));
  },
  destroy({ name, data }, reactor) {
    const { theirs, ...rest } = data as SimUserData;
    return moduleOf(rest).destroy?.({ name, data: theirs }, reactor);
  },
  configCalls: () => [],
});

/** A disk of async functions. What of the optional ones it has is `has`. */
export function simDefinedDisk(
  blocks: number,
  blockSize: number,
  delayUs: number,
  has: { readonly pieces: boolean; readonly flush: boolean; readonly trim: boolean; readonly zero: boolean },
): Disk {
  const memory = new Uint8Array(blocks * blockSize);
  const later = (): Promise<void> | undefined => {
    const thread = simCore() as SimCore;
    const us = thread.random.int(delayUs + 1);
    return us === 0 ? undefined : new Promise((resolve) => void thread.after(us, resolve));
  };
  /** Not once it is given up: the buffer is somebody else's then. */
  const act = (signal: AbortSignal, fn: () => void): Promise<void> | void => {
    const waits = later();
    if (waits === undefined) fn();
    else
      return waits.then(() => {
        if (!signal.aborted) fn();
      });
  };
  const clear = (offset: number, length: number, { signal }: { readonly signal: AbortSignal }) =>
    act(signal, () => void memory.fill(0, offset, offset + length));
  const through = (buffers: readonly Uint8Array[], offset: number, fn: (buffer: Uint8Array, at: number) => void) => {
    let at = offset;
    for (const buffer of buffers) {
      fn(buffer, at);
      at += buffer.length;
    }
  };
  const fetch = (buffer: Uint8Array, at: number) => buffer.set(memory.subarray(at, at + buffer.length));
  const store = (buffer: Uint8Array, at: number) => memory.set(buffer, at);
  return defineDisk({
    size: memory.length,
    blockSize,
    read: (offset, buffer, { signal }) => act(signal, () => fetch(buffer, offset)),
    write: (offset, buffer, { signal }) => act(signal, () => store(buffer, offset)),
    ...(has.pieces && {
      readv: (offset, buffers, { signal }) => act(signal, () => through(buffers, offset, fetch)),
      writev: (offset, buffers, { signal }) => act(signal, () => through(buffers, offset, store)),
    }),
    ...(has.flush && { flush: () => later() }),
    ...(has.trim && { trim: clear }),
    ...(has.zero && { zero: clear }),
  });
}
