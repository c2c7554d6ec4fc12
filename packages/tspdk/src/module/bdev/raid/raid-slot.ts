/**
 * One place among the members of a RAID disk, on the app core: which disk is there, and in what state. Control path.
 */
import { BaseBdev, type BdevDesc, openBase } from '../../../bdev/index.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { BaseIo } from './base-io.ts';
import type { RaidMemberRef } from './raid-data.ts';
import { RAID_SB_CONFIGURED, type RaidSbBaseBdev } from './raid-superblock.ts';

export class RaidSlot {
  readonly index: number;
  /** The disk that is, or was, or is to be there; "" is none. */
  name: string;
  /** Its uuid, when it is known. */
  uuid: string | null = null;
  /** What the superblock says: RAID_SB_*. The raid needs those that are configured to start. */
  sbState = RAID_SB_CONFIGURED;
  base: BaseBdev | null = null;
  /** Its data is up to date, as far as its writes have not failed. */
  good = false;
  /** It is about to be dropped. */
  leaving = false;
  /** Dropping it is tried again soon. */
  dropDue = false;
  /** Blocks. */
  dataOffset = 0;
  dataBlocks = 0;
  /** Counts the disks that were here. */
  generation = 0;
  #desc: BdevDesc | null = null;
  #io: BaseIo | null = null;

  constructor(index: number, name: string) {
    this.index = index;
    this.name = name;
  }

  /**
   * Opens and claims the disk `name`. `onRemove`: it is going.
   * @throws {SpdkError} ENODEV, EPERM, EROFS
   */
  open(reactor: Reactor, name: string, onRemove: () => void): void {
    const base = BaseBdev.open(reactor, name, { onRemove });
    try {
      this.#desc = openBase(base.ref, reactor);
      this.#io = new BaseIo(this.#desc);
    } catch (error) {
      this.#desc?.close();
      this.#desc = null;
      base.close();
      throw error;
    }
    this.base = base;
    this.name = base.bdev.name;
    this.uuid = base.bdev.uuid;
  }

  /** The app core's own way to its data. */
  get io(): BaseIo {
    if (this.#io === null) throw new Error('assertion failed: a slot without a disk does no I/O');
    return this.#io;
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
    this.#io?.close();
    this.#desc?.close();
    this.base?.close();
    this.#io = null;
    this.#desc = null;
    this.base = null;
    this.good = false;
    this.leaving = false;
  }
}
