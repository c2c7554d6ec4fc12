/**
 * Rebuilds one member of a RAID disk, window by window (SPDK: raid bdev process). Control path, app core.
 *
 * All cores write the member already when this begins, so a window is right for ever once it has been copied while nobody writes to it: a lock of its range holds writes back and
 * waits for those under way (bdev/lba-lock.ts). Reads go on, they do not touch the member. At the end its cache is flushed, so that a superblock may say that it is good.
 */
import { dropSegment, shareSegment } from '../../../bdev/index.ts';
import { bdevManager } from '../../../bdev/manager.ts';
import { ECANCELED, EIO } from '../../../bdev/status.ts';
import { explain } from '../../../env/errors.ts';
import type { Segment } from '../../../env/segment.ts';
import { withLock } from './locked-range.ts';
import type { RaidDisk } from './raid-disk.ts';
import { RAID5F } from './raid-level.ts';
import { raidLog } from './raid-log.ts';
import type { RaidSlot } from './raid-slot.ts';
import { xorInto } from './xor.ts';

/** bdev_raid_set_options. */
export interface RaidOptions {
  /** Of a member, at once. */
  process_window_size_kb: number;
  /** Of what is copied; 0: as fast as it goes. */
  process_max_bandwidth_mb_sec: number;
}

const MIB = 1024 * 1024;

export class RaidProcess {
  readonly slot: RaidSlot;
  /** 0 when the member has all data; else a negative errno. */
  readonly ended: Promise<number>;
  readonly #disk: RaidDisk;
  readonly #options: RaidOptions;
  readonly #windowBlocks: number;
  /** Blocks of a member that are of use. */
  readonly #blocks: number;
  #done = 0;
  #stopped = false;
  #end: (status: number) => void = () => {};
  #wake: () => void = () => {};

  constructor(disk: RaidDisk, slot: RaidSlot, options: RaidOptions) {
    this.#disk = disk;
    this.slot = slot;
    this.#options = options;
    this.#blocks = disk.memberBlocks;
    const asked = Math.max(1, Math.floor((options.process_window_size_kb * 1024) / disk.blockBytes));
    const unit = Math.max(1, disk.stripBlocks);
    this.#windowBlocks = Math.min(this.#blocks, Math.ceil(asked / unit) * unit);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Begins. Once, unless `fail` was called. */
  start(): void {
    raidLog.info(`raid "${this.#disk.params.name}": rebuilding "${this.slot.name}"`);
    this.#run().then(this.#end, (error: unknown) => this.fail(error));
  }

  /** It comes to nothing. */
  fail(error: unknown): void {
    raidLog.error(`raid "${this.#disk.params.name}": rebuilding "${this.slot.name}": ${explain(error)}`);
    this.#end(EIO);
  }

  /** Ends it soon: see `ended`. */
  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  get #over(): boolean {
    return this.#stopped || this.#disk.state !== 'online' || this.slot.base === null;
  }

  async #run(): Promise<number> {
    const { reactor, blockBytes } = this.#disk;
    const windowBytes = this.#windowBlocks * blockBytes;
    const raid5f = this.#disk.params.level === RAID5F;
    const id = await shareSegment(reactor, windowBytes * (raid5f ? 2 : 1));
    const segment = reactor.segments.get(id);
    try {
      while (this.#done < this.#blocks) {
        if (this.#over) return ECANCELED;
        const blocks = Math.min(this.#windowBlocks, this.#blocks - this.#done);
        const status = await this.#window(segment, this.#done, blocks);
        if (status !== 0) return status;
        this.#done += blocks;
        await this.#pause(blocks * blockBytes);
      }
      if (this.#over) return ECANCELED;
      const { dataOffset, dataBlocks, io } = this.slot;
      return await io.flush(dataOffset * blockBytes, dataBlocks * blockBytes);
    } finally {
      await dropSegment(reactor, id);
    }
  }

  /** As long as so many bytes may take. */
  async #pause(bytes: number): Promise<void> {
    const rate = this.#options.process_max_bandwidth_mb_sec;
    if (rate === 0 || this.#over) return;
    const manager = this.#disk.reactor.local(bdevManager);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      manager.retryAfter((bytes * 1e6) / (rate * MIB), { retry: resolve });
    });
  }

  /** One window, while nobody writes to it. */
  async #window(segment: Segment, block: number, blocks: number): Promise<number> {
    const { bdev, blockBytes, stripes } = this.#disk;
    if (bdev === null) return ECANCELED;
    return withLock(bdev, block * blockBytes * stripes, blocks * blockBytes * stripes, this, {
      over: () => this.#over,
      run: () => this.#copy(segment, block, blocks * blockBytes),
    });
  }

  async #copy(segment: Segment, block: number, bytes: number): Promise<number> {
    const { blockBytes, params } = this.#disk;
    const byteOf = (slot: RaidSlot): number => (slot.dataOffset + block) * blockBytes;
    const read =
      params.level === RAID5F ? this.#reconstruct(segment, byteOf, bytes) : this.#readAny(segment, byteOf, bytes);
    const status = await read;
    if (status !== 0 || this.#over) return status || ECANCELED;
    return this.slot.io.write(segment, 0, byteOf(this.slot), bytes);
  }

  /** From any member that can be read. */
  async #readAny(segment: Segment, byteOf: (slot: RaidSlot) => number, bytes: number): Promise<number> {
    let status = EIO;
    for (const source of this.#disk.slots) {
      if (!source.good || source.base === null) continue;
      status = await source.io.read(segment, 0, byteOf(source), bytes);
      if (status === 0) break;
    }
    return status;
  }

  /** From all others. */
  async #reconstruct(segment: Segment, byteOf: (slot: RaidSlot) => number, bytes: number): Promise<number> {
    let first = true;
    for (const source of this.#disk.slots) {
      if (source === this.slot) continue;
      if (!source.good || source.base === null) return EIO;
      const at = first ? 0 : this.#windowBlocks * this.#disk.blockBytes;
      const status = await source.io.read(segment, at, byteOf(source), bytes);
      if (status !== 0) return status;
      if (!first) xorInto(segment, 0, segment, at, bytes);
      first = false;
    }
    return 0;
  }

  get doneBlocks(): number {
    return this.#done;
  }

  describe(): Record<string, unknown> {
    const percent = Math.floor((this.#done * 100) / this.#blocks);
    return { type: 'rebuild', target: this.slot.name, progress: { blocks: this.#done, percent } };
  }
}
