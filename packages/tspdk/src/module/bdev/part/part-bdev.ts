/**
 * A part of a disk as a disk: what stands at `offset` of the base, for the kinds of disk that divide others (SPDK: lib/bdev/part.c). The parts of one base share its claim.
 */
import { resetBases } from '../../../bdev/base-reset.ts';
import type { BdevIo, BdevIoDone } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import { derivedUuid } from '../../../bdev/derived-uuid.ts';
import type { Extents } from '../../../bdev/extents.ts';
import {
  type BackendChannel,
  type BaseRef,
  type Bdev,
  type BdevBackend,
  type BdevDesc,
  type BdevLimits,
  type BdevSpec,
  bdevRegistry,
  IO_ZCOPY,
  type NewBdev,
  type Onward,
  openBase,
} from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { sharedBase } from './shared-base.ts';

/** SPDK's BDEV_PART_NAMESPACE_UUID. */
const NAMESPACE = '976b899e-3e1e-4d71-ab69-c2b08e9df8b8';

export interface Part {
  readonly name: string;
  readonly base_bdev: string;
  readonly offset_blocks: number;
  readonly num_blocks: number;
  /** Default: one that follows from the base's and from where the part lies. */
  readonly uuid?: string | undefined;
}

/** What crosses to every reactor. */
export interface PartData {
  readonly base: BaseRef;
  readonly offsetBlocks: number;
  readonly offsetBytes: number;
}

class PartChannel implements BackendChannel {
  readonly #base: BdevChannel;
  readonly #offset: number;
  readonly onward: Onward;

  constructor(base: BdevChannel, offsetBytes: number) {
    this.#base = base;
    this.#offset = offsetBytes;
    this.onward = { base, offsetBytes };
  }

  submit(io: BdevIo): void {
    const rc = this.#base.forward(io, io.byteOffset + this.#offset, done, io);
    // -ENOMEM too: the layer has it wait and submits it again.
    if (rc !== 0) io.complete(rc);
  }

  abort(io: BdevIo): boolean {
    return this.#base.abort(io) > 0;
  }

  zcopy(byteOffset: number, bytes: number, out: IoVecs, write: boolean): boolean {
    return this.#base.zcopy(byteOffset + this.#offset, bytes, out, write);
  }

  zcopyWritten(byteOffset: number, bytes: number): void {
    this.#base.zcopyWritten(byteOffset + this.#offset, bytes);
  }

  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    return this.#base.blockStatus(byteOffset + this.#offset, bytes, out);
  }

  reset(cb: BdevIoDone, ctx: unknown): void {
    resetBases([this.#base], cb, ctx);
  }

  close(): void {
    this.#base.close();
  }
}

function done(io: unknown, status: number): void {
  (io as BdevIo).complete(status);
}

class PartBackend implements BdevBackend {
  readonly #base: BdevDesc;
  readonly #offset: number;

  constructor(spec: BdevSpec, reactor: Reactor) {
    const data = spec.data as PartData;
    this.#base = openBase(data.base, reactor);
    this.#offset = data.offsetBytes;
  }

  createChannel(): BackendChannel {
    return new PartChannel(this.#base.getIoChannel(), this.#offset);
  }

  close(): void {
    this.#base.close();
  }
}

/** The app core's part. `more` is data of the module, which crosses with the rest. @throws {SpdkError} ENODEV, EPERM; EINVAL when the base has no such part */
export function newPart(
  moduleName: string,
  productName: string,
  part: Part,
  reactor: Reactor,
  more: object = {},
): NewBdev {
  const { name, offset_blocks, num_blocks, uuid } = part;
  const base = sharedBase(reactor, moduleName, part.base_bdev);
  try {
    const { bdev } = base;
    const fits = offset_blocks >= 0 && num_blocks > 0 && offset_blocks + num_blocks <= bdev.blocks;
    if (!fits) {
      throw new SpdkError(
        'EINVAL',
        `bdev "${name}": ${num_blocks} blocks from block ${offset_blocks} on; "${bdev.name}" has ${bdev.blocks}`,
      );
    }
    return {
      name,
      uuid: uuid ?? derivedUuid(NAMESPACE, bdev.uuid, offset_blocks, num_blocks),
      productName,
      blockSizeBytes: bdev.blockSizeBytes,
      blocks: num_blocks,
      writable: bdev.writable,
      // What takes no single bytes below takes none here.
      ioTypes: bdev.takesBytes ? bdev.ioTypes : bdev.ioTypes & ~(1 << IO_ZCOPY),
      volatileCache: bdev.volatileCache,
      limits: limitsAt(bdev, name, offset_blocks),
      bases: [base],
      data: {
        ...more,
        base: base.ref,
        offsetBlocks: offset_blocks,
        offsetBytes: offset_blocks * bdev.blockSizeBytes,
      } satisfies PartData,
    };
  } catch (error) {
    base.close();
    throw error;
  }
}

/** What of the base's wishes can be said of a part: those about places only where it begins at one. What it does not say the base sees to itself. */
function limitsAt(bdev: Bdev, name: string, offsetBlocks: number): Partial<BdevLimits> {
  const { physicalBlockSizeBytes, optimalIoBoundaryBlocks, writeUnitBlocks, splitOnWriteUnit } = bdev.limits;
  if (writeUnitBlocks > 1 && offsetBlocks % writeUnitBlocks !== 0) {
    throw new SpdkError(
      'EINVAL',
      `bdev "${name}" begins at block ${offsetBlocks}, no multiple of the ${writeUnitBlocks} that "${bdev.name}" is written in`,
    );
  }
  const atBoundary = optimalIoBoundaryBlocks > 0 && offsetBlocks % optimalIoBoundaryBlocks === 0;
  return {
    physicalBlockSizeBytes,
    writeUnitBlocks,
    splitOnWriteUnit,
    ...(atBoundary ? { optimalIoBoundaryBlocks } : {}),
  };
}

/** The part of each reactor. */
export function attachPart(spec: BdevSpec, reactor: Reactor): BdevBackend {
  return new PartBackend(spec, reactor);
}

/** The parts that a module has made of `base`, in their order; some may be going. @throws {SpdkError} ENODEV */
export function partsOf(reactor: Reactor, moduleName: string, base: string): Bdev[] {
  const { name } = bdevRegistry(reactor).get(base);
  return bdevRegistry(reactor)
    .list()
    .filter((bdev) => bdev.moduleName === moduleName && (bdev.spec.data as PartData).base.name === name);
}

/** Removes them, and those that wait for `base`. @throws {SpdkError} ENODEV, ENOENT when there are none */
export async function deleteParts(reactor: Reactor, moduleName: string, base: string): Promise<void> {
  const registry = bdevRegistry(reactor);
  const names = registry.waitingOn(base, moduleName);
  if (names.length === 0 || registry.list().some((bdev) => bdev.isCalled(base)))
    names.push(...partsOf(reactor, moduleName, base).map(({ name }) => name));
  if (names.length === 0) throw new SpdkError('ENOENT', `bdev "${base}" has no disks of module ${moduleName}`);
  await Promise.all(names.map((name) => registry.delete(name, moduleName)));
}
