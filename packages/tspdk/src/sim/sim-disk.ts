/**
 * A simulated disk, bdev module "sim": memory whose I/Os complete after a drawn time, in any order, sometimes only at a second try.
 *
 * Loading this file registers the module. Data takes effect when an I/O completes, as on a device with a queue; an aborted I/O has no effect. With a
 * `homeCore` the layer carries other cores' I/Os there. Only inside a simulation: its timers are the simulated thread's.
 */
import {
  type BackendChannel,
  type Bdev,
  type BdevBackend,
  type BdevIo,
  type BdevLimits,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
  registerBdevModule,
} from '../bdev/index.ts';
import { ECANCELED, ENOMEM } from '../bdev/status.ts';
import { assert } from '../env/errors.ts';
import type { Segment } from '../env/segment.ts';
import { simCore } from './isolation.ts';
import type { SimCore } from './sim-core.ts';

/** Parameters of a simulated disk. */
export interface SimDiskParams {
  readonly name: string;
  /** 512-byte blocks. */
  readonly blocks: number;
  /** So many more it may grow by: `BdevRegistry.resize`. */
  readonly roomBlocks?: number;
  /** -1: every core serves its own. */
  readonly homeCore?: number;
  /** Most µs that an I/O takes. */
  readonly delayUs?: number;
  /** Probability that an I/O is first answered with -ENOMEM, though not when it is the only one. */
  readonly noMemory?: number;
  readonly limits?: Partial<BdevLimits>;
  /** Mask of what it takes; default all it can. */
  readonly ioTypes?: number;
}

interface SimDiskData {
  readonly bytes: SharedArrayBuffer;
  readonly delayUs: number;
  readonly noMemory: number;
  /** One double, for all cores: the probability that an I/O hangs until it is aborted. */
  readonly hangs: SharedArrayBuffer;
}

/** From now on an I/O of the simulated disk `bdev` hangs with that probability, until it is aborted. */
export function hang(bdev: Bdev, probability: number): void {
  new Float64Array((bdev.spec.data as SimDiskData).hangs)[0] = probability;
}

class SimDiskChannel implements BackendChannel {
  readonly #data: SimDiskData;
  readonly #bytes: Uint8Array;
  readonly #hangs: Float64Array;
  readonly #thread: SimCore;
  readonly #outstanding = new Set<BdevIo>();

  constructor(data: SimDiskData) {
    this.#data = data;
    this.#bytes = new Uint8Array(data.bytes);
    this.#hangs = new Float64Array(data.hangs);
    this.#thread = simCore() as SimCore;
  }

  submit(io: BdevIo): void {
    const { random } = this.#thread;
    if (this.#outstanding.size > 0 && random.chance(this.#data.noMemory)) {
      io.complete(ENOMEM);
      return;
    }
    this.#outstanding.add(io);
    // Not drawn where nothing hangs, so that other simulations stay the same.
    if (this.#hangs[0] > 0 && random.chance(this.#hangs[0])) return;
    if (random.chance(0.2)) this.#finish(io);
    else this.#thread.after(random.int(this.#data.delayUs + 1), () => this.#finish(io));
  }

  abort(io: BdevIo): boolean {
    if (!this.#outstanding.delete(io)) return false;
    io.complete(ECANCELED);
    return true;
  }

  close(): void {
    assert(this.#outstanding.size === 0, 'a channel is closed without I/O');
  }

  /** Its time has come, unless it was aborted meanwhile. */
  #finish(io: BdevIo): void {
    if (!this.#outstanding.delete(io)) return;
    this.#execute(io);
    io.complete(0);
  }

  #execute(io: BdevIo): void {
    const disk = this.#bytes;
    if (io.type === IO_UNMAP || io.type === IO_WRITE_ZEROES) disk.fill(0, io.byteOffset, io.byteOffset + io.bytes);
    if (io.type !== IO_READ && io.type !== IO_WRITE) return;
    let at = io.byteOffset;
    for (let i = 0; i < io.iovs.count; i++) {
      const memory = (io.iovs.segment[i] as Segment).u8.subarray(
        io.iovs.offset[i],
        io.iovs.offset[i] + io.iovs.bytes[i],
      );
      if (io.type === IO_READ) memory.set(disk.subarray(at, at + memory.length));
      else disk.set(memory, at);
      at += memory.length;
    }
  }
}

registerBdevModule<SimDiskParams>({
  name: 'sim',
  create: (params) => ({
    name: params.name,
    productName: 'Simulated disk',
    blockSizeBytes: 512,
    blocks: params.blocks,
    homeCore: params.homeCore ?? -1,
    ioTypes: params.ioTypes ?? ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH, IO_WRITE_ZEROES),
    limits: params.limits ?? {},
    data: {
      bytes: new SharedArrayBuffer((params.blocks + (params.roomBlocks ?? 0)) * 512),
      delayUs: params.delayUs ?? 50,
      noMemory: params.noMemory ?? 0,
      hangs: new SharedArrayBuffer(8),
    } satisfies SimDiskData,
  }),
  attach: (spec): BdevBackend => ({
    createChannel: () => new SimDiskChannel(spec.data as SimDiskData),
    close: () => {},
  }),
  destroy: () => {},
  configCalls: () => [],
});
