/**
 * A disk that forgets: completes everything at once and touches no memory (SPDK: module/bdev/null). For measuring what the layers above cost.
 *
 * As with SPDK, a read leaves the caller's buffer as it was, so what stood in it is what "was read". Whoever shows read data to others (a network
 * target) asks for the data by `zcopy`, which here names a segment of zeroes.
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
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
import { SpdkError } from '../../../env/errors.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import { limits } from '../../../env/limits.ts';
import { makeSegment, type Segment } from '../../../env/segment.ts';
import type { Reactor } from '../../../event/reactor.ts';

export interface NullBdevParams {
  readonly name: string;
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

class NullBackend implements BdevBackend {
  readonly #manager: BdevManager;
  #scratch: Segment | null = null;
  constructor(reactor: Reactor) {
    this.#manager = reactor.local(bdevManager);
  }

  createChannel(): BackendChannel {
    return new NullChannel(this);
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
    if (params.block_size % 512 !== 0 || params.block_size <= 0) {
      throw new SpdkError(
        'EINVAL',
        `null bdev "${params.name}": block size ${params.block_size} is no multiple of 512`,
      );
    }
    if (!(params.num_blocks > 0)) {
      throw new SpdkError('EINVAL', `null bdev "${params.name}": ${params.num_blocks} blocks; at least 1 is needed`);
    }
    return {
      name: params.name,
      uuid: params.uuid,
      productName: 'Null disk',
      blockSizeBytes: params.block_size,
      blocks: params.num_blocks,
      ioTypes: ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH, IO_WRITE_ZEROES, IO_ZCOPY),
      ...(params.limits === undefined ? {} : { limits: params.limits }),
      data: null,
    };
  },

  attach: (_spec: BdevSpec, reactor: Reactor) => new NullBackend(reactor),
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
      },
    },
  ],
});
