/**
 * One place among the members of a RAID disk, on the app core: which disk is there, and in what state. Control path.
 */
import { BaseBdev, type BdevDesc, openBase } from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { BaseIo } from './base-io.ts';
import { heapRetry } from './locked-range.ts';
import type { RaidMemberRef } from './raid-data.ts';
import { type DamagedRaidSuperblock, RAID_SB_CONFIGURED, type RaidSbBaseBdev } from './raid-superblock.ts';

/** A disk that is claimed for a member, and the app core's own way to its data. */
export class RaidBase {
  readonly base: BaseBdev;
  readonly io: BaseIo;
  readonly #desc: BdevDesc;
  readonly #going: Promise<void>;

  /** @throws {SpdkError} ENODEV, EPERM, EROFS */
  constructor(reactor: Reactor, name: string, onRemove: () => void) {
    let goes = (): void => {};
    this.#going = new Promise((resolve) => {
      goes = resolve;
    });
    const removed = (): void => {
      goes();
      onRemove();
    };
    this.base = BaseBdev.open(reactor, name, { onRemove: removed });
    let desc: BdevDesc | null = null;
    try {
      desc = openBase(this.base.ref, reactor);
      this.io = new BaseIo(desc);
      this.#desc = desc;
    } catch (error) {
      desc?.close();
      this.base.close();
      throw error;
    }
  }

  /**
   * Resolves when nothing is under way there any more on any core, or it is going. Its raid waits for no write of a member that it has dropped; whoever has the disk next must not be overtaken by
   * one.
   */
  async atRest(): Promise<void> {
    await Promise.race([this.#rest(), this.#going]);
  }

  /** Asks again while the shared heap is full. */
  async #rest(): Promise<void> {
    for (;;) {
      try {
        const quiesced = await this.#desc.quiesce();
        await quiesced.unquiesce();
        return;
      } catch (error) {
        if (!(error instanceof SpdkError && error.code === 'ENOMEM')) return;
        await heapRetry(this.#desc.bdev.manager);
      }
    }
  }

  /** Lets it go. Once. */
  close(): void {
    this.io.close();
    this.#desc.close();
    this.base.close();
  }
}

export class RaidSlot {
  readonly index: number;
  /** The disk that is, or was, or is to be there; "" is none. */
  name: string;
  /** Its uuid, when it is known. */
  uuid: string | null = null;
  /** What the superblock says: RAID_SB_*. The raid needs those that are configured to start. */
  sbState = RAID_SB_CONFIGURED;
  /** Its data is up to date, as far as its writes have not failed. */
  good = false;
  /** It is about to be dropped. */
  leaving = false;
  /** What is wrong with the superblock of the disk that is here, before the raid starts. */
  damage: DamagedRaidSuperblock | null = null;
  /** Dropping it is tried again soon. */
  dropDue = false;
  /** Blocks. */
  dataOffset = 0;
  dataBlocks = 0;
  /** Counts the disks that were here. */
  generation = 0;
  #claimed: RaidBase | null = null;

  constructor(index: number, name: string) {
    this.index = index;
    this.name = name;
  }

  /**
   * Opens and claims the disk `name`. `onRemove`: it is going.
   * @throws {SpdkError} ENODEV, EPERM, EROFS
   */
  open(reactor: Reactor, name: string, onRemove: () => void): void {
    const claimed = new RaidBase(reactor, name, () => {
      // One that has been let go may still be on its way out, and another in its place.
      if (this.#claimed === claimed) onRemove();
    });
    this.#claimed = claimed;
    const { bdev } = claimed.base;
    this.name = bdev.name;
    this.uuid = bdev.uuid;
  }

  get base(): BaseBdev | null {
    return this.#claimed === null ? null : this.#claimed.base;
  }

  /** The app core's own way to its data. */
  get io(): BaseIo {
    if (this.#claimed === null) throw new Error('assertion failed: a slot without a disk does no I/O');
    return this.#claimed.io;
  }

  /** It has a disk that is not up to date, and stays. One that is to be dropped is still written on every core, and must not be added a second time. */
  get rebuildable(): boolean {
    return this.base !== null && !this.good && !this.leaving && !this.dropDue;
  }

  /** Does the disk of this name, alias or uuid belong here? */
  wants(names: readonly string[]): boolean {
    return this.base === null && this.name !== '' && names.includes(this.name);
  }

  get ref(): RaidMemberRef | null {
    if (this.base === null) return null;
    const { blockSizeBytes } = this.base.bdev;
    return {
      ref: this.base.ref,
      dataOffsetBytes: this.dataOffset * blockSizeBytes,
      dataBytes: this.dataBlocks * blockSizeBytes,
    };
  }

  get sbEntry(): RaidSbBaseBdev {
    const { dataOffset, dataBlocks: dataSize, sbState: state, index: slot } = this;
    return { uuid: this.uuid ?? '00000000-0000-0000-0000-000000000000', dataOffset, dataSize, state, flags: 0, slot };
  }

  /** Lets the disk go. Twice is once. */
  close(): void {
    this.release()?.close();
  }

  /** As `close`, but that the caller closes the disk. */
  release(): RaidBase | null {
    const claimed = this.#claimed;
    this.#claimed = null;
    this.good = false;
    this.leaving = false;
    this.damage = null;
    return claimed;
  }
}
