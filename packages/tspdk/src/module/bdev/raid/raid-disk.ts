/**
 * A RAID disk on the app core: its members as they come and go, and the block device, once enough of them are there. Control path.
 *
 * Everything that changes which members are used happens here, one thing after the other (`serial`). A member whose data is no more that of the others is dropped so:
 * no core reads it; the superblock on all others says that it has failed; no core writes it, and what had failed on it is acknowledged. So at no moment can
 * acknowledged data be read from a member that lacks it, not even after the machine has lost its power. A member that is added is written at once on every core,
 * copied by a process (raid-process.ts), and then, when its data is on stable storage and the superblocks of the others and its own say so, read.
 *
 * While the application stops, disks may refuse what they would only have waited with (nbd/initiator/nbd-bdev.ts): what fails on a member then fails, as when no superblock can be written, and nobody is said
 * to have failed.
 *
 * Writes that have failed somewhere wait for a drop, locks (a rebuild's, a repair's) and resets of the raid wait for writes. So nothing in `serial` may wait for any of these, nor for a disk that is no member.
 * It waits for turns of the cores (`callAll`, making the block device), and for superblocks (`#commit`) on the members that go on, without whom nothing could be acknowledged either: for a BdevIo, first come,
 * first served, and for the member, which answers, or goes; what a reset of it ends is asked for again, for `raid_reset_wait_ms`. Wiping in `close` comes when no write is left. Not waited for there: a rebuild of
 * the member that is dropped, which has been told to stop, and touches the disk of its slot no more; what is still under way on that member, and the wiping of one that was taken out (`remove`), until which it
 * stays claimed; the look at a disk that is to be added (raid-registry.ts).
 */

import { callAll } from '../../../bdev/call-all.ts';
import { type Bdev, bdevRegistry, dropSegment, type NewBdev, shareSegment } from '../../../bdev/index.ts';
import { bdevManager } from '../../../bdev/manager.ts';
import { explain, SpdkError } from '../../../env/errors.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { addRaidMember, dropRaidMember, refuseRaidDrop, setRaidReadable } from './raid-backend.ts';
import { levelRule, type RaidData } from './raid-data.ts';
import { RAID_DEGRADED_EVENT, RAID_OFFLINE_EVENT, RAID_REBUILT_EVENT, tellRaid } from './raid-events.ts';
import { checkRaidMember, checkRaidSize, layOutRaid, raidGeometry } from './raid-geometry.ts';
import { RAID5F } from './raid-level.ts';
import { raidLog } from './raid-log.ts';
import { type RaidOptions, RaidProcess } from './raid-process.ts';
import { raidMayStart } from './raid-quorum.ts';
import { type RaidBase, RaidSlot } from './raid-slot.ts';
import {
  RAID_SB_CONFIGURED,
  RAID_SB_FAILED,
  RAID_SB_MAX_BYTES,
  RAID_SB_MISSING,
  type RaidSuperblock,
} from './raid-superblock.ts';
import { fillSuperblock, wholeBlockBytes, wipeRaidSuperblock, writeRaidSuperblocks } from './superblock-io.ts';

/** Levels of disks that a member may have that is added later. */
const MEMBER_LEVELS = 4;
/** When what failed for want of a superblock is tried again. */
const AGAIN_US = 1_000_000;

export type RaidState = 'configuring' | 'online' | 'offline';

export interface RaidParams {
  readonly name: string;
  readonly uuid: string;
  readonly level: number;
  /** KiB; 0 for raid1. */
  readonly stripSizeKb: number;
  readonly superblock: boolean;
  /** "": there is none. */
  readonly baseBdevs: readonly string[];
}

export class RaidDisk {
  readonly key: number;
  readonly params: RaidParams;
  readonly reactor: Reactor;
  readonly slots: readonly RaidSlot[];
  state: RaidState = 'configuring';
  bdev: Bdev | null = null;
  /** Of a member. */
  blockBytes = 0;
  stripBlocks = 0;
  blocks = 0;
  process: RaidProcess | null = null;
  /** By wish: wipe the superblocks when it goes. */
  clearOnClose = false;
  readonly #options: RaidOptions;
  readonly #forget: () => void;
  #seq = 0;
  #queue: Promise<void> = Promise.resolve();
  /** Segments, 0 when there is none. */
  #superblock = 0;
  #scratch = 0;
  #closed = false;
  /** Its first superblocks are being written: one that never was leaves none behind. */
  #making = false;

  constructor(key: number, params: RaidParams, reactor: Reactor, options: RaidOptions, forget: () => void) {
    this.key = key;
    this.params = params;
    this.reactor = reactor;
    this.#options = options;
    this.#forget = forget;
    this.slots = params.baseBdevs.map((name, index) => new RaidSlot(index, name));
    for (const slot of this.slots) if (slot.name === '') slot.sbState = RAID_SB_MISSING;
  }

  /** Runs `work` after what has been asked for before. */
  serial<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  get seq(): number {
    return this.#seq;
  }

  /** How many members it takes to work. */
  get least(): number {
    return this.slots.length - levelRule(this.params.level).redundancy(this.slots.length);
  }

  /** How many blocks of the disk lie in one block of each member. */
  get stripes(): number {
    return this.params.level === RAID5F ? this.slots.length - 1 : 1;
  }

  /** Blocks that are used of each member; of levels that can be rebuilt. */
  get memberBlocks(): number {
    return this.blocks / this.stripes;
  }

  get #good(): RaidSlot[] {
    return this.slots.filter(({ good }) => good);
  }

  /**
   * Takes over what a superblock says; before it starts. A disk that is here and up to date no more stays, to be rebuilt; one in whose place there is another
   * now is let go.
   * @throws {SpdkError} EINVAL when it is about another kind of disk
   */
  adopt(sb: RaidSuperblock): void {
    const { name, level, numBaseBdevs } = sb;
    if (level !== this.params.level || numBaseBdevs !== this.slots.length) {
      throw new SpdkError('EINVAL', `raid "${name}": a superblock says level ${level}, ${numBaseBdevs} base bdevs`);
    }
    this.#seq = sb.seqNumber;
    this.blocks = sb.raidSize;
    for (const entry of sb.baseBdevs) {
      const slot = this.slots[entry.slot];
      slot.sbState = entry.state;
      slot.dataOffset = entry.dataOffset;
      slot.dataBlocks = entry.dataSize;
      if (slot.uuid !== entry.uuid) slot.close();
      slot.uuid = entry.uuid;
    }
  }

  /** Claims a disk for a slot. @throws {SpdkError} as BaseBdev.open; EINVAL when it does not fit. */
  claim(slot: RaidSlot, name: string): void {
    slot.open(this.reactor, name, () => this.#removed(slot));
    const { bdev } = slot.base as NonNullable<RaidSlot['base']>;
    try {
      const first = this.#seq === 0 && this.slots.every((each) => each === slot || each.base === null);
      if (first) this.blockBytes = bdev.blockSizeBytes;
      checkRaidMember(this, slot, bdev);
    } catch (error) {
      slot.close();
      throw error;
    }
  }

  /** Every member that it needs is there. */
  get complete(): boolean {
    return raidMayStart(this.slots, this.least);
  }

  /** Makes the block device. What fails ends the raid. @throws {SpdkError} what making it throws */
  async start(): Promise<void> {
    const registry = bdevRegistry(this.reactor);
    try {
      await this.serial(async () => {
        this.bdev = await registry.create('raid', { disk: this });
      });
    } catch (error) {
      await this.close();
      throw error;
    }
    // Deleted while it was made, which `end` sees to.
    if (this.state !== 'online') return;
    for (const slot of this.slots) {
      if (slot.damage !== null && slot.good) {
        raidLog.warn(`raid "${this.params.name}": "${slot.name}" had a damaged superblock, and is what the others say`);
      }
      slot.damage = null;
    }
    raidLog.info(`raid "${this.params.name}" is online with ${this.#good.length} of ${this.slots.length} base bdevs`);
    if (this.#good.length < this.slots.length) tellRaid(this, RAID_DEGRADED_EVENT);
    // One may have begun to go before there was anything to do about it.
    for (const slot of this.slots) if (slot.base?.removed === true) this.#removed(slot);
    this.#rebuildNext();
  }

  /** For the module: what the block device is. @throws {SpdkError} EINVAL for sizes that do not fit; EIO when a superblock cannot be written. */
  async newBdev(): Promise<NewBdev> {
    const { params, slots, reactor } = this;
    this.#checkStays();
    const fresh = this.#seq === 0;
    for (const slot of slots) slot.good = slot.base !== null && slot.sbState === RAID_SB_CONFIGURED;
    this.stripBlocks = (params.stripSizeKb * 1024) / this.blockBytes;
    if (fresh) layOutRaid(this);
    const bases = this.#good.map(({ base }) => (base as NonNullable<RaidSlot['base']>).bdev);
    const geometry = raidGeometry(this, bases, reactor.cores.length);
    if (fresh) this.blocks = geometry.blocks;
    else checkRaidSize(this, geometry);
    if (geometry.scratchBytes > 0) this.#scratch = await shareSegment(reactor, geometry.scratchBytes);
    if (params.superblock) {
      this.#superblock = await shareSegment(reactor, wholeBlockBytes(RAID_SB_MAX_BYTES, this.blockBytes));
      this.#checkStays();
      this.state = 'online';
      this.#making = fresh;
      const good = this.#good.length;
      if (!(await this.#commit()) || (fresh && this.#good.length < good)) {
        throw new SpdkError('EIO', `raid "${params.name}": a superblock could not be written`);
      }
    }
    this.#checkStays();
    this.state = 'online';
    this.#making = false;
    const data: RaidData = {
      key: this.key,
      level: params.level,
      stripBlocks: this.stripBlocks,
      dataBlocks: slots.map(({ dataBlocks }) => dataBlocks),
      members: slots.map((slot) => (slot.good ? slot.ref : null)),
      scratch: this.#scratch,
    };
    return {
      name: params.name,
      uuid: params.uuid,
      productName: 'Raid Volume',
      blockSizeBytes: this.blockBytes,
      blocks: this.blocks,
      ioTypes: geometry.ioTypes,
      volatileCache: geometry.volatileCache,
      limits: geometry.limits,
      level: 1 + Math.max(MEMBER_LEVELS, ...slots.map(({ base }) => base?.bdev.level ?? 0)),
      data,
    };
  }

  /** @throws {SpdkError} ENODEV when it has been deleted meanwhile */
  #checkStays(): void {
    if (this.state === 'offline') throw new SpdkError('ENODEV', `raid "${this.params.name}" is being removed`);
  }

  /** Takes a member out, by wish: it does not come back by its superblock. @throws {SpdkError} EIO when the others could not be told */
  async remove(slot: RaidSlot): Promise<void> {
    if (this.state === 'configuring') {
      slot.close();
      return;
    }
    const { generation, name } = slot;
    const gone: RaidBase[] = [];
    await this.serial(async () => {
      await this.drop(slot, generation, RAID_SB_MISSING, (base) => void gone.push(base));
      if (this.state === 'online' && slot.base !== null && slot.generation === generation) {
        throw new SpdkError(
          'EIO',
          `raid "${this.params.name}": "${name}" is still a base bdev, no superblock was written`,
        );
      }
    });
    for (const each of gone) await each.atRest();
    for (const { base, io } of gone) {
      if (this.params.superblock && !base.removed) await wipeRaidSuperblock(this, name, io);
    }
    for (const base of gone) base.close();
    if (this.state !== 'online' && this.bdev !== null) {
      await bdevRegistry(this.reactor)
        .delete(this.bdev.name)
        .catch(() => {});
    }
  }

  /** A disk is going. */
  #removed(slot: RaidSlot): void {
    if (this.state === 'configuring') {
      slot.close();
      return;
    }
    const registry = bdevRegistry(this.reactor);
    // When everything goes, that a disk goes is no failure of it.
    if (registry.finishing) {
      if (this.bdev !== null) void registry.delete(this.bdev.name).catch(() => {});
      return;
    }
    const { generation } = slot;
    void this.serial(() => this.drop(slot, generation, RAID_SB_MISSING));
  }

  /** I/O has failed on a member. */
  memberFailed(index: number, generation: number): void {
    void this.serial(() => this.drop(this.slots[index], generation, RAID_SB_FAILED));
  }

  /** Ends the use of a member, if the disk works without it; else the disk goes when the member does. Inside `serial`. `letGo` gets its disk, and closes it. */
  async drop(
    slot: RaidSlot,
    generation: number,
    sbState: number,
    letGo = (base: RaidBase): void => void base.atRest().then(() => base.close()),
  ): Promise<void> {
    if (slot.base === null || slot.generation !== generation) return;
    const { name, good, sbState: before } = slot;
    const { reactor } = this;
    const call = { key: this.key, slot: slot.index };
    const stopping = reactor.stopping && sbState === RAID_SB_FAILED;
    if (this.state !== 'online' || stopping || (good && this.#good.length <= this.least)) {
      await callAll(reactor, refuseRaidDrop, call);
      if (this.state !== 'online' || stopping) return;
      raidLog.error(`raid "${this.params.name}" does not work without "${name}"`);
      if (sbState === RAID_SB_MISSING) this.#goOffline();
      return;
    }
    if (this.process?.slot === slot) this.process.stop();
    slot.leaving = true;
    await callAll(reactor, setRaidReadable, { ...call, readable: false });
    slot.good = false;
    slot.sbState = sbState;
    if (!(await this.#commit())) {
      slot.good = good;
      slot.leaving = false;
      slot.sbState = before;
      // What failed on it fails; all that has been acknowledged is there.
      await callAll(reactor, refuseRaidDrop, call);
      if (good) await callAll(reactor, setRaidReadable, { ...call, readable: true });
      this.#dropLater(slot, generation, sbState);
      return;
    }
    await callAll(reactor, dropRaidMember, call);
    letGo(slot.release() as RaidBase);
    raidLog.warn(`raid "${this.params.name}" goes on without "${name}"`);
    if (good) tellRaid(this, RAID_DEGRADED_EVENT);
  }

  /** The others could not be told by a superblock. */
  #dropLater(slot: RaidSlot, generation: number, sbState: number): void {
    if (slot.dropDue) return;
    slot.dropDue = true;
    const again = (): Promise<void> => {
      slot.dropDue = false;
      return this.drop(slot, generation, sbState);
    };
    this.reactor.local(bdevManager).retryAfter(AGAIN_US, { retry: () => void this.serial(again) });
  }

  /** Not enough members are left: the disk goes. */
  #goOffline(): void {
    if (this.state === 'offline') return;
    this.state = 'offline';
    tellRaid(this, RAID_OFFLINE_EVENT);
    const { bdev } = this;
    if (bdev === null) return;
    void bdevRegistry(this.reactor)
      .delete(bdev.name)
      .catch((error: unknown) => raidLog.error(`raid "${this.params.name}": ${explain(error)}`));
  }

  /**
   * The superblock as things are now, on every good member. One that does not take it is no good member any more; false when too few took it, or one did not while the application stops. With `last`, a
   * member that is to be a good one: on all, that one last, or false.
   */
  async #commit(last: RaidSlot | null = null): Promise<boolean> {
    if (!this.params.superblock) return true;
    for (;;) {
      this.#seq++;
      const segment = this.reactor.segments.get(this.#superblock);
      const bytes = fillSuperblock(this, segment.u8);
      const failed = await writeRaidSuperblocks(this, this.#good, segment, bytes);
      if (last !== null) {
        // The one that is new among them must not be the only one that says so.
        if (failed.length === 0) failed.push(...(await writeRaidSuperblocks(this, [last], segment, bytes)));
        return failed.length === 0;
      }
      if (failed.length === 0) return true;
      if (this.reactor.stopping || this.#good.length - failed.length < this.least) return false;
      for (const slot of failed) await this.#leaveOut(slot);
    }
  }

  /** A good member did not take a superblock: the next one says so, and then it is dropped. */
  async #leaveOut(slot: RaidSlot): Promise<void> {
    const call = { key: this.key, slot: slot.index };
    await callAll(this.reactor, setRaidReadable, { ...call, readable: false });
    slot.good = false;
    slot.leaving = true;
    slot.sbState = RAID_SB_FAILED;
    const { generation } = slot;
    void this.serial(() => this.drop(slot, generation, RAID_SB_FAILED));
  }

  /** Adds a disk, claimed, in `slot`; it is rebuilt. Inside `serial`. @throws {SpdkError} ENODEV when it is going */
  async add(slot: RaidSlot): Promise<void> {
    const call = { key: this.key, slot: slot.index };
    slot.generation++;
    try {
      const member = slot.ref as NonNullable<RaidSlot['ref']>;
      await callAll(this.reactor, addRaidMember, { ...call, member, generation: slot.generation });
    } catch (error) {
      await callAll(this.reactor, dropRaidMember, call);
      slot.close();
      throw error;
    }
    this.#rebuildNext();
  }

  /** Members that are claimed and not up to date are rebuilt, one after the other. */
  #rebuildNext(): void {
    if (this.process !== null || this.state !== 'online' || this.#closed) return;
    const slot = this.slots.find(({ rebuildable }) => rebuildable);
    if (slot === undefined) return;
    const process = new RaidProcess(this, slot, this.#options);
    this.process = process;
    let { generation } = slot;
    void process.ended.then((status) => {
      this.process = null;
      return this.serial(() => this.#rebuilt(slot, generation, status));
    });
    if (generation > 0) {
      process.start();
      return;
    }
    const added = async (): Promise<void> => {
      await this.add(slot);
      generation = slot.generation;
    };
    void this.serial(added).then(
      () => process.start(),
      (error: unknown) => process.fail(error),
    );
  }

  async #rebuilt(slot: RaidSlot, generation: number, status: number): Promise<void> {
    if (this.state !== 'online') return;
    if (slot.base !== null && slot.generation === generation && !slot.leaving) {
      const done = status === 0 && (await this.#promote(slot));
      const name = `raid "${this.params.name}": "${slot.name}"`;
      if (done) {
        raidLog.info(`${name} is rebuilt`);
        tellRaid(this, RAID_REBUILT_EVENT);
      } else raidLog.error(`${name} could not be rebuilt`);
      // Dropped by a superblock that says so: one that says otherwise may be on another member.
      if (!done) await this.drop(slot, generation, RAID_SB_FAILED);
      // No superblock could be written: it stays, and is tried again.
      if (!done && slot.base !== null) {
        this.reactor.local(bdevManager).retryAfter(AGAIN_US, { retry: () => this.#rebuildNext() });
        return;
      }
    }
    this.#rebuildNext();
  }

  /** A member that is written like the others has got their data: it is one of them. */
  async #promote(slot: RaidSlot): Promise<boolean> {
    const before = slot.sbState;
    slot.sbState = RAID_SB_CONFIGURED;
    if (!(await this.#commit(slot))) {
      slot.sbState = before;
      return false;
    }
    await callAll(this.reactor, setRaidReadable, { key: this.key, slot: slot.index, readable: true });
    slot.good = true;
    return true;
  }

  /** By wish: it goes, and its block device. While that is being made, it goes as soon as it is there, or comes to nothing. */
  async end(clearSuperblocks: boolean): Promise<void> {
    this.clearOnClose ||= clearSuperblocks;
    this.state = 'offline';
    await this.serial(async () => {});
    if (this.bdev !== null) await bdevRegistry(this.reactor).delete(this.bdev.name, 'raid');
    await this.close();
  }

  /** Everything is let go. Twice is once. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.state = 'offline';
    this.process?.stop();
    await this.process?.ended;
    await this.serial(async () => {
      // There are none as long as it was never begun to write them, or another raid's.
      const wiped = (this.clearOnClose || this.#making) && this.#seq > 0 ? this.slots : [];
      const there = wiped.filter((slot) => slot.base?.removed === false);
      for (const { name, io } of there) await wipeRaidSuperblock(this, name, io);
      for (const slot of this.slots) slot.close();
      const segments = [this.#superblock, this.#scratch].filter((id) => id !== 0);
      for (const id of segments) await dropSegment(this.reactor, id);
    });
    this.#forget();
  }
}
