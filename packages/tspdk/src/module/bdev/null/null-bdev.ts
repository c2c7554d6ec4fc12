/**
 * A disk that forgets: completes everything at once and touches no memory (SPDK: module/bdev/null). For measuring what the layers above cost.
 *
 * As with SPDK, a read leaves the caller's buffer as it was, so what stood in it is what "was read". Whoever shows read data to others (a network
 * target) asks for the data by `zcopy`, which here names a segment of zeroes.
 *
 * With metadata there is no `zcopy`: a read gives zeroes, with protection information that fits them where the format has it, as SPDK generates it (its network targets read zeroes,
 * too). What is written is checked by the layer and dropped.
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import { difGenerate } from '../../../bdev/dif/index.ts';
import {
  type BackendChannel,
  type BdevBackend,
  type BdevLimits,
  type BdevModule,
  type BdevSpec,
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
import { Metadata } from '../../../bdev/metadata.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import { limits } from '../../../env/limits.ts';
import { fillBytes, makeSegment, type Segment } from '../../../env/segment.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { checkPhysicalBlock, formatOf, formatParams, type MetadataParams } from '../metadata-params.ts';

export interface NullBdevParams extends MetadataParams {
  readonly name: string;
  /** With the metadata, which lies behind the data of each block. */
  readonly block_size: number;
  readonly num_blocks: number;
  readonly uuid?: string | undefined;
  readonly limits?: Partial<BdevLimits>;
}

class NullChannel implements BackendChannel {
  readonly #backend: NullBackend;

  constructor(backend: NullBackend) {
    this.#backend = backend;
  }

  submit(io: BdevIo): void {
    io.complete(0);
  }

  /** Zeroes to read; to write, memory that nobody reads. */
  zcopy(_byteOffset: number, bytes: number, out: IoVecs, write: boolean): boolean {
    const memory = write ? this.#backend.scratch : this.#backend.zeroes;
    const pieces = Math.ceil(bytes / memory.sizeBytes);
    if (out.count + pieces > out.capacity) return false;
    for (let left = bytes; left > 0; left -= memory.sizeBytes) {
      out.push(memory, 0, Math.min(left, memory.sizeBytes));
    }
    return true;
  }

  close(): void {}
}

/** Blocks with metadata. */
class NullMdChannel implements BackendChannel {
  readonly #metadata: Metadata;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  submit(io: BdevIo): void {
    if (io.type === IO_READ) this.#read(io);
    io.complete(0);
  }

  #read(io: BdevIo): void {
    const { iovs } = io;
    const { protects, dif, blockBytes } = this.#metadata;
    for (let i = 0; i < iovs.count; i++) fillBytes(iovs.segment[i] as Segment, iovs.offset[i], iovs.bytes[i], 0);
    if (!protects) return;
    dif.setInitRefTag(io.byteOffset / blockBytes);
    difGenerate(iovs, io.bytes / blockBytes, dif);
  }

  close(): void {}
}

class NullBackend implements BdevBackend {
  readonly #manager: BdevManager;
  readonly #metadata: Metadata | null;
  #scratch: Segment | null = null;

  constructor({ metadata, blockSizeBytes }: BdevSpec, reactor: Reactor) {
    this.#manager = reactor.local(bdevManager);
    this.#metadata = metadata === null ? null : new Metadata(metadata, blockSizeBytes);
  }

  createChannel(): BackendChannel {
    return this.#metadata === null ? new NullChannel(this) : new NullMdChannel(this.#metadata);
  }

  get zeroes(): Segment {
    return this.#manager.zeroes;
  }

  get scratch(): Segment {
    this.#scratch ??= makeSegment(0, new SharedArrayBuffer(limits.bdev_zero_bytes));
    return this.#scratch;
  }

  close(): void {}
}

export const nullModule: BdevModule<NullBdevParams> = registerBdevModule<NullBdevParams>({
  name: 'null',

  create(params: NullBdevParams): NewBdev {
    const { name, block_size, num_blocks, uuid, md_size = 0 } = params;
    const metadata = formatOf(`null bdev "${name}"`, true, params);
    const dataBytes = block_size - md_size;
    if (dataBytes % 512 !== 0 || dataBytes <= 0) {
      const less = md_size === 0 ? '' : ` less ${md_size} of metadata`;
      throw new SpdkError('EINVAL', `null bdev "${name}": block size ${block_size}${less} is no multiple of 512`);
    }
    if (!(num_blocks > 0)) {
      throw new SpdkError('EINVAL', `null bdev "${name}": ${num_blocks} blocks; at least 1 is needed`);
    }
    checkPhysicalBlock(`null bdev "${name}"`, params.limits?.physicalBlockSizeBytes ?? 0);
    return {
      name,
      uuid,
      productName: 'Null disk',
      blockSizeBytes: block_size,
      blocks: num_blocks,
      ioTypes:
        ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH, IO_WRITE_ZEROES) | (metadata === null ? 1 << IO_ZCOPY : 0),
      metadata,
      ...(params.limits === undefined ? {} : { limits: params.limits }),
      data: null,
    };
  },

  attach: (spec: BdevSpec, reactor: Reactor) => new NullBackend(spec, reactor),
  destroy: () => {},

  configCalls: (spec: BdevSpec) => [
    {
      method: 'bdev_null_create',
      params: {
        name: spec.name,
        num_blocks: spec.blocks,
        block_size: spec.blockSizeBytes,
        physical_block_size: spec.limits.physicalBlockSizeBytes,
        preferred_write_granularity: spec.limits.preferredWriteGranularityBlocks,
        preferred_write_alignment: spec.limits.preferredWriteAlignmentBlocks,
        optimal_write_size: spec.limits.optimalWriteSizeBlocks,
        preferred_unmap_granularity: spec.limits.preferredUnmapGranularityBlocks,
        preferred_unmap_alignment: spec.limits.preferredUnmapAlignmentBlocks,
        uuid: spec.uuid,
        ...(spec.metadata === null ? {} : formatParams(spec.metadata)),
      },
    },
  ],
});
