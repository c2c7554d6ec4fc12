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
  dropSegment,
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
  shareSegment,
} from '../../../bdev/index.ts';
import { type BdevManager, bdevManager } from '../../../bdev/manager.ts';
import { ENOTSUP } from '../../../bdev/status.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import { limits } from '../../../env/limits.ts';
import { sanitizer } from '../../../env/sanitizer.ts';
import { copyBytes, fillBytes, type Segment } from '../../../env/segment.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { AllocationMap, allocationMapBytes } from './allocation-map.ts';
import { giveBack } from './give-back.ts';

export interface MallocBdevParams {
  /** Default: Malloc0, Malloc1, ... */
  readonly name?: string | undefined;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly uuid?: string | undefined;
  readonly optimal_io_boundary?: number | undefined;
  readonly physical_block_size?: number | undefined;
}

/** What crosses to every reactor. */
interface MallocData {
  readonly segments: readonly number[];
  readonly map: SharedArrayBuffer;
}

const SEGMENT_BYTES = limits.bdev_malloc_segment_bytes;
/** Zeroed in one turn; a longer range goes on in the next. */
const ZERO_BYTES_A_TURN = 1024 * 1024;

class MallocBackend implements BdevBackend {
  readonly segments: readonly Segment[];
  readonly map: AllocationMap;
  readonly manager: BdevManager;

  constructor(spec: BdevSpec, reactor: Reactor) {
    const data = spec.data as MallocData;
    this.segments = data.segments.map((id) => reactor.segments.get(id));
    this.map = new AllocationMap(data.map);
    this.manager = reactor.local(bdevManager);
  }

  createChannel(): BackendChannel {
    return new MallocChannel(this);
  }

  /** Appends where the range lies; false when `out` has no room. */
  pieces(byteOffset: number, bytes: number, out: IoVecs): boolean {
    const first = Math.floor(byteOffset / SEGMENT_BYTES);
    const last = Math.floor((byteOffset + bytes - 1) / SEGMENT_BYTES);
    if (out.count + last - first + 1 > out.capacity) return false;
    let at = byteOffset - first * SEGMENT_BYTES;
    for (let i = first; i <= last; i++) {
      const piece = Math.min(bytes, SEGMENT_BYTES - at);
      out.push(this.segments[i], at, piece);
      bytes -= piece;
      at = 0;
    }
    return true;
  }

  /** Copies between the disk at `at` and one piece of memory. */
  copy(toDisk: boolean, at: number, segment: Segment, offset: number, bytes: number): void {
    let index = Math.floor(at / SEGMENT_BYTES);
    let within = at - index * SEGMENT_BYTES;
    while (bytes > 0) {
      const piece = Math.min(bytes, SEGMENT_BYTES - within);
      const disk = this.segments[index];
      if (toDisk) copyBytes(disk, within, segment, offset, piece);
      else copyBytes(segment, offset, disk, within, piece);
      bytes -= piece;
      offset += piece;
      within = 0;
      index++;
    }
  }

  /** Zeroes, within one segment; `keep`: the memory stays taken. */
  zero(at: number, bytes: number, keep: boolean): void {
    const index = Math.floor(at / SEGMENT_BYTES);
    const within = at - index * SEGMENT_BYTES;
    if (keep) fillBytes(this.segments[index], within, bytes, 0);
    else giveBack(this.segments[index], within, bytes);
  }

  close(): void {}
}

class MallocChannel implements BackendChannel {
  readonly #backend: MallocBackend;

  constructor(backend: MallocBackend) {
    this.#backend = backend;
  }

  zcopy(byteOffset: number, bytes: number, out: IoVecs): boolean {
    return this.#backend.pieces(byteOffset, bytes, out);
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
      this.#backend.copy(toDisk, at, iovs.segment[i] as Segment, iovs.offset[i], bytes);
      at += bytes;
    }
  }

  #zero(io: BdevIo, keep: boolean): void {
    const backend = this.#backend;
    if (keep) backend.map.set(io.byteOffset, io.bytes);
    else backend.map.clear(io.byteOffset, io.bytes);
    if (
      io.bytes <= ZERO_BYTES_A_TURN &&
      Math.floor(io.byteOffset / SEGMENT_BYTES) === Math.floor((io.byteOffset + io.bytes - 1) / SEGMENT_BYTES)
    ) {
      backend.zero(io.byteOffset, io.bytes, keep);
      io.complete(0);
    } else new LongZero(backend, io, keep).retry();
  }

  close(): void {}
}

/** Zeroes a long range a piece a turn. */
class LongZero {
  readonly #backend: MallocBackend;
  readonly #io: BdevIo;
  readonly #keep: boolean;
  #done = 0;

  constructor(backend: MallocBackend, io: BdevIo, keep: boolean) {
    this.#keep = keep;
    this.#backend = backend;
    this.#io = io;
  }

  retry(): void {
    const io = this.#io;
    const at = io.byteOffset + this.#done;
    const toSegmentEnd = SEGMENT_BYTES - (at % SEGMENT_BYTES);
    const piece = Math.min(ZERO_BYTES_A_TURN, io.bytes - this.#done, toSegmentEnd);
    this.#backend.zero(at, piece, this.#keep);
    this.#done += piece;
    if (this.#done === io.bytes) io.complete(0);
    else this.#backend.manager.retryAfter(0, this);
  }
}

export const mallocModule: BdevModule<MallocBdevParams> = registerBdevModule<MallocBdevParams>({
  name: 'malloc',

  async create(params: MallocBdevParams, reactor: Reactor): Promise<NewBdev> {
    const { block_size, num_blocks } = params;
    const name = params.name ?? bdevRegistry(reactor).freeName('Malloc');
    if (!(num_blocks > 0))
      throw new SpdkError('EINVAL', `malloc bdev "${name}": ${num_blocks} blocks; at least 1 is needed`);
    if (!(block_size > 0 && block_size % 512 === 0)) {
      throw new SpdkError('EINVAL', `malloc bdev "${name}": block size ${block_size} is not a multiple of 512`);
    }
    const sizeBytes = num_blocks * block_size;
    if (!Number.isSafeInteger(sizeBytes))
      throw new SpdkError('EFBIG', `malloc bdev "${name}": ${num_blocks} blocks of ${block_size} bytes`);
    const segments: number[] = [];
    try {
      for (let left = sizeBytes; left > 0; left -= SEGMENT_BYTES) {
        const id = await shareSegment(reactor, Math.min(left, SEGMENT_BYTES));
        segments.push(id);
        const { sab } = reactor.segments.get(id);
        sanitizer?.benign(
          sab,
          0,
          sab.byteLength,
          'what is under way to one block at once, and in which order, is up to initiators',
        );
      }
    } catch (error) {
      for (const id of segments) await dropSegment(reactor, id);
      throw error;
    }
    const data: MallocData = { segments, map: new SharedArrayBuffer(allocationMapBytes(sizeBytes)) };
    return {
      name,
      uuid: params.uuid,
      productName: 'Malloc disk',
      blockSizeBytes: block_size,
      blocks: num_blocks,
      ioTypes: ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH, IO_WRITE_ZEROES, IO_ZCOPY),
      limits: {
        physicalBlockSizeBytes: params.physical_block_size ?? 0,
        optimalIoBoundaryBlocks: params.optimal_io_boundary ?? 0,
      },
      data,
    };
  },

  attach: (spec: BdevSpec, reactor: Reactor) => new MallocBackend(spec, reactor),

  async destroy(spec: Pick<BdevSpec, 'name' | 'data'>, reactor: Reactor): Promise<void> {
    for (const id of (spec.data as MallocData).segments) await dropSegment(reactor, id);
  },

  configCalls: (spec: BdevSpec) => [
    {
      method: 'bdev_malloc_create',
      params: {
        name: spec.name,
        num_blocks: spec.blocks,
        block_size: spec.blockSizeBytes,
        physical_block_size: spec.limits.physicalBlockSizeBytes,
        uuid: spec.uuid,
        optimal_io_boundary: spec.limits.optimalIoBoundaryBlocks,
      },
    },
  ],
});
