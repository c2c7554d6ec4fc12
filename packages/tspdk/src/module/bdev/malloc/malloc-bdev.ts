/**
 * A disk in memory (SPDK: module/bdev/malloc). Its shared segments are seen by every reactor, so each reads and writes without asking anybody.
 *
 * Memory is taken when it is first written and given back by unmap and write zeroes, as far as the system can (madvise). Two cores
 * that write the same blocks at once leave either's data or a mixture, as with any disk. Nothing survives the process; a flush has nothing to do.
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { Extents } from '../../../bdev/extents.ts';
import {
  type BackendChannel,
  type BdevBackend,
  type BdevModule,
  type BdevSpec,
  bdevRegistry,
  IO_COPY,
  IO_FLAG_NO_HOLE,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  IO_ZCOPY,
  ioTypes,
  type NewBdev,
  registerBdevModule,
} from '../../../bdev/index.ts';
import { type BdevManager, bdevManager } from '../../../bdev/manager.ts';
import { ENOTSUP } from '../../../bdev/status.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import type { Segment } from '../../../env/segment.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { checkPhysicalBlock, formatOf, formatParams, type MetadataParams } from '../metadata-params.ts';
import { AllocationMap, allocationMapBytes } from './allocation-map.ts';
import { BYTES_A_TURN, LongCopy, LongZero } from './long-io.ts';
import { MdChannel } from './md-channel.ts';
import { dropMemory, MemoryStore, takeMemory } from './memory-store.ts';

export interface MallocBdevParams extends MetadataParams {
  /** Default: Malloc0, Malloc1, ... */
  readonly name?: string | undefined;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly uuid?: string | undefined;
  /** Blocks: no read or write crosses a multiple of it, the layer splits; 0: none. */
  readonly optimal_io_boundary?: number | undefined;
  readonly physical_block_size?: number | undefined;
  /** The metadata lies behind the data of each block and counts for its size; else it has memory of its own. */
  readonly md_interleave?: boolean | undefined;
}

/** What crosses to every reactor. */
interface MallocData {
  readonly segments: readonly number[];
  /** Of the metadata; empty: there is none. */
  readonly mdSegments: readonly number[];
  readonly map: SharedArrayBuffer;
}

class MallocBackend implements BdevBackend {
  readonly store: MemoryStore;
  readonly map: AllocationMap;
  readonly manager: BdevManager;
  readonly #md: MemoryStore | null;
  readonly #spec: BdevSpec;

  constructor(spec: BdevSpec, reactor: Reactor) {
    const data = spec.data as MallocData;
    this.store = new MemoryStore(reactor, data.segments);
    this.#md = data.mdSegments.length === 0 ? null : new MemoryStore(reactor, data.mdSegments);
    this.#spec = spec;
    this.map = new AllocationMap(data.map);
    this.manager = reactor.local(bdevManager);
  }

  createChannel(): BackendChannel {
    const { metadata, blockSizeBytes } = this.#spec;
    if (metadata === null || this.#md === null) return new MallocChannel(this);
    return new MdChannel(this.store, this.#md, this.manager, metadata, blockSizeBytes);
  }

  close(): void {}
}

class MallocChannel implements BackendChannel {
  readonly #backend: MallocBackend;

  constructor(backend: MallocBackend) {
    this.#backend = backend;
  }

  zcopy(byteOffset: number, bytes: number, out: IoVecs): boolean {
    return this.#backend.store.pieces(byteOffset, bytes, out);
  }

  zcopyWritten(byteOffset: number, bytes: number): void {
    if (bytes > 0) this.#backend.map.set(byteOffset, bytes);
  }

  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    this.#backend.map.extents(byteOffset, bytes, out);
    return 0;
  }

  submit(io: BdevIo): void {
    switch (io.type) {
      case IO_READ:
        this.#transfer(io, false);
        io.complete(0);
        break;
      case IO_WRITE:
        this.#transfer(io, true);
        this.#backend.map.set(io.byteOffset, io.bytes);
        io.complete(0);
        break;
      case IO_UNMAP:
        this.#zero(io, false);
        break;
      case IO_WRITE_ZEROES:
        this.#zero(io, (io.flags & IO_FLAG_NO_HOLE) !== 0);
        break;
      case IO_COPY:
        this.#copy(io);
        break;
      case IO_FLUSH:
        io.complete(0);
        break;
      default:
        io.complete(ENOTSUP);
    }
  }

  #transfer(io: BdevIo, toDisk: boolean): void {
    const { iovs } = io;
    const count = iovs.count;
    let at = io.byteOffset;
    for (let i = 0; i < count; i++) {
      const bytes = iovs.bytes[i];
      this.#backend.store.copy(toDisk, at, iovs.segment[i] as Segment, iovs.offset[i], bytes);
      at += bytes;
    }
  }

  #copy(io: BdevIo): void {
    const { map, store, manager } = this.#backend;
    if (io.bytes <= BYTES_A_TURN) {
      store.copyWithin(io.byteOffset, io.sourceOffset, io.bytes);
      map.set(io.byteOffset, io.bytes);
      io.complete(0);
    } else new LongCopy(store, map, manager, io).retry();
  }

  #zero(io: BdevIo, keep: boolean): void {
    const { map, store, manager } = this.#backend;
    const { byteOffset, bytes } = io;
    if (keep) map.set(byteOffset, bytes);
    else map.clear(byteOffset, bytes);
    if (bytes <= BYTES_A_TURN) {
      store.zero(byteOffset, bytes, keep);
      io.complete(0);
    } else new LongZero(store, manager, io, byteOffset, bytes, keep).retry();
  }

  close(): void {}
}

export const mallocModule: BdevModule<MallocBdevParams> = registerBdevModule<MallocBdevParams>({
  name: 'malloc',

  async create(params: MallocBdevParams, reactor: Reactor): Promise<NewBdev> {
    const { block_size, num_blocks, md_size = 0, md_interleave = false } = params;
    const { optimal_io_boundary = 0, physical_block_size = 0 } = params;
    const name = params.name ?? bdevRegistry(reactor).freeName('Malloc');
    if (!(num_blocks > 0))
      throw new SpdkError('EINVAL', `malloc bdev "${name}": ${num_blocks} blocks; at least 1 is needed`);
    if (!(block_size > 0 && block_size % 512 === 0)) {
      throw new SpdkError('EINVAL', `malloc bdev "${name}": block size ${block_size} is not a multiple of 512`);
    }
    checkPhysicalBlock(`malloc bdev "${name}"`, physical_block_size);
    const metadata = formatOf(`malloc bdev "${name}"`, md_interleave, params);
    const sizeBytes = num_blocks * block_size;
    if (!Number.isSafeInteger(sizeBytes))
      throw new SpdkError('EFBIG', `malloc bdev "${name}": ${num_blocks} blocks of ${block_size} bytes`);
    const segments = await takeMemory(reactor, sizeBytes);
    let mdSegments: readonly number[] = [];
    try {
      mdSegments = await takeMemory(reactor, num_blocks * md_size);
    } catch (error) {
      await dropMemory(reactor, segments);
      throw error;
    }
    const data: MallocData = { segments, mdSegments, map: new SharedArrayBuffer(allocationMapBytes(sizeBytes)) };
    return {
      name,
      uuid: params.uuid,
      productName: 'Malloc disk',
      blockSizeBytes: block_size + (md_interleave ? md_size : 0),
      blocks: num_blocks,
      // Data alone lies as it is read.
      ioTypes: ioTypes(
        IO_READ,
        IO_WRITE,
        IO_UNMAP,
        IO_FLUSH,
        IO_WRITE_ZEROES,
        ...(metadata === null ? [IO_COPY, IO_ZCOPY] : []),
      ),
      metadata,
      limits: {
        physicalBlockSizeBytes: physical_block_size,
        optimalIoBoundaryBlocks: optimal_io_boundary,
        splitOnOptimalIoBoundary: optimal_io_boundary > 0,
      },
      data,
    };
  },

  attach: (spec: BdevSpec, reactor: Reactor) => new MallocBackend(spec, reactor),

  async destroy(spec: Pick<BdevSpec, 'name' | 'data'>, reactor: Reactor): Promise<void> {
    const { segments, mdSegments } = spec.data as MallocData;
    await dropMemory(reactor, [...segments, ...mdSegments]);
  },

  configCalls: (spec: BdevSpec) => [
    {
      method: 'bdev_malloc_create',
      params: {
        name: spec.name,
        num_blocks: spec.blocks,
        block_size: spec.blockSizeBytes - (spec.metadata?.interleaved === true ? spec.metadata.bytes : 0),
        physical_block_size: spec.limits.physicalBlockSizeBytes,
        uuid: spec.uuid,
        optimal_io_boundary: spec.limits.optimalIoBoundaryBlocks,
        ...(spec.metadata === null ? {} : { ...formatParams(spec.metadata), md_interleave: spec.metadata.interleaved }),
      },
    },
  ],
});
