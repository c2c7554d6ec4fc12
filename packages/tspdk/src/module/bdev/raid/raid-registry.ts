/**
 * All RAID disks of an application, those too that wait for members (SPDK: g_raid_bdev_list). Control path, app core.
 *
 * A disk becomes a member because a raid that is being configured waits for its name, or because its superblock says so. Of superblocks that differ the one with the
 * higher sequence number is right about who is a member: what a member missed, the others counted.
 *
 * A member may have a damaged superblock: it is several blocks long, and the power went while it was written. Who may rely on the others' is in raid-quorum.ts.
 */
import { randomUUID } from 'node:crypto';
import { type Bdev, type BdevConfigCall, type BdevRegistry, bdevRegistry } from '../../../bdev/index.ts';
import { checkLength } from '../../../bdev/new-spec.ts';
import { explain, isGone, SpdkError } from '../../../env/errors.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { levelRule } from './raid-data.ts';
import { RaidDisk, type RaidParams, type RaidState } from './raid-disk.ts';
import { raidListener, registerRaidEvents } from './raid-events.ts';
import { damageOf, raidConfigCalls } from './raid-info.ts';
import { raidLevelName } from './raid-level.ts';
import { raidLog } from './raid-log.ts';
import type { RaidOptions } from './raid-process.ts';
import type { RaidSlot } from './raid-slot.ts';
import {
  DamagedRaidSuperblock,
  RAID_SB_CONFIGURED,
  RAID_SB_MISSING,
  RAID_SB_NAME_BYTES,
  type RaidSuperblock,
} from './raid-superblock.ts';
import { readRaidSuperblock } from './superblock-io.ts';

export interface RaidCreateParams {
  readonly name: string;
  readonly level: number;
  readonly stripSizeKb: number;
  readonly baseBdevs: readonly string[];
  readonly uuid?: string | undefined;
  readonly superblock: boolean;
}

/** The application's RAID disks, those too that still wait for their members; see `raidRegistry`. App core only. */
export class RaidRegistry {
  readonly reactor: Reactor;
  readonly options: RaidOptions = { process_window_size_kb: 1024, process_max_bandwidth_mb_sec: 0 };
  readonly #disks = new Map<number, RaidDisk>();
  /** Those that `create` starts itself. */
  readonly #creating = new Set<RaidDisk>();
  #keys = 0;
  #queue: Promise<void> = Promise.resolve();

  constructor(reactor: Reactor) {
    this.reactor = reactor;
    registerRaidEvents(reactor);
    reactor.local(raidListener).memberFailed = (key, slot, generation) =>
      this.#disks.get(key)?.memberFailed(slot, generation);
    this.bdevs.examineHooks.push((bdev) => examineRaidMember(bdev, reactor));
  }

  /** Who gets which disk is decided for one after the other. Nothing in it waits for a disk that is no member: one that does not answer holds up nobody else. */
  #serial<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  get bdevs(): BdevRegistry {
    return bdevRegistry(this.reactor);
  }

  /** Oldest first; those in one state, or all. */
  list(category: RaidState | 'all' = 'all'): RaidDisk[] {
    return [...this.#disks.values()].filter(({ state }) => category === 'all' || state === category);
  }

  byKey(key: number): RaidDisk | undefined {
    return this.#disks.get(key);
  }

  /** By name or uuid. @throws {SpdkError} ENODEV */
  get(name: string): RaidDisk {
    const found = this.list().find(({ params }) => params.name === name || params.uuid === name);
    if (found === undefined) throw new SpdkError('ENODEV', `no raid bdev named "${name}"`);
    return found;
  }

  /**
   * All that can be said before anything is written to a disk.
   * @throws {SpdkError} EINVAL for a level that does not go with its strip size or number of base bdevs; EEXIST for names that come twice, and a uuid; ENAMETOOLONG.
   */
  #check({ name, level, stripSizeKb, baseBdevs, uuid, superblock }: RaidCreateParams): void {
    const { least, redundancy, hasStrips } = levelRule(level);
    const what = `raid "${name}": ${raidLevelName(level)}`;
    if (this.bdevs.has(name) || this.list().some(({ params }) => params.name === name)) {
      throw new SpdkError('EEXIST', `bdev name "${name}" is taken`);
    }
    if (uuid !== undefined && (this.bdevs.has(uuid) || this.list().some(({ params }) => params.uuid === uuid))) {
      throw new SpdkError('EEXIST', `raid "${name}": uuid ${uuid} is taken`);
    }
    checkLength(name);
    const bytes = Buffer.byteLength(name);
    if (superblock && bytes >= RAID_SB_NAME_BYTES) {
      const limit = `a superblock has room for ${RAID_SB_NAME_BYTES - 1}`;
      throw new SpdkError('ENAMETOOLONG', `raid "${name}": a name of ${bytes} bytes, ${limit}`);
    }
    const twice = baseBdevs.find((each, i) => each !== '' && baseBdevs.indexOf(each) !== i);
    if (twice !== undefined) throw new SpdkError('EEXIST', `raid "${name}": base bdev "${twice}" is named twice`);
    if (baseBdevs.length < least || baseBdevs.length > 255) {
      throw new SpdkError('EINVAL', `${what} has ${least} to 255 base bdevs, not ${baseBdevs.length}`);
    }
    const present = baseBdevs.filter((each) => each !== '').length;
    if (present < baseBdevs.length - redundancy(baseBdevs.length)) {
      throw new SpdkError('EINVAL', `${what} does not work with ${present} of ${baseBdevs.length} base bdevs`);
    }
    if (hasStrips ? !(stripSizeKb > 0 && Number.isInteger(Math.log2(stripSizeKb))) : stripSizeKb !== 0) {
      const wanted = hasStrips ? 'a power of two' : '0, as it has no strips';
      throw new SpdkError('EINVAL', `${what}: strip_size_kb is ${stripSizeKb}, not ${wanted}`);
    }
  }

  #add(params: RaidParams): RaidDisk {
    const key = ++this.#keys;
    const disk = new RaidDisk(key, params, this.reactor, this.options, () => this.#disks.delete(key));
    this.#disks.set(key, disk);
    return disk;
  }

  /**
   * Makes a RAID disk; it starts when its members are all there.
   * @throws {SpdkError} EINVAL, EEXIST, ENAMETOOLONG; EPERM when a base bdev is in use; what starting it throws. Then there is none.
   */
  async create(asked: RaidCreateParams): Promise<RaidDisk> {
    const params = { ...asked, uuid: (asked.uuid ?? randomUUID()).toLowerCase() };
    const disk = await this.#serial(async () => {
      this.#check(params);
      const added = this.#add(params);
      this.#creating.add(added);
      return added;
    });
    try {
      for (const slot of disk.slots) {
        const bdev = slot.name === '' ? undefined : this.#bdev(slot.name);
        if (bdev === undefined) continue;
        const found = await this.#readAny(bdev);
        await this.#serial(async () => {
          // It may have gone, or come to its place as one that was examined.
          if (bdev.ready && slot.base?.bdev !== bdev) this.#claimNew(disk, slot, bdev, found);
        });
      }
      await this.#serial(async () => {
        this.#creating.delete(disk);
        if (disk.state === 'offline') throw new SpdkError('ENODEV', `raid "${params.name}" is being removed`);
        if (disk.complete) await disk.start();
      });
    } catch (error) {
      this.#creating.delete(disk);
      await disk.close();
      throw error;
    }
    return disk;
  }

  #bdev(name: string): Bdev | undefined {
    return this.bdevs.list().find((bdev) => bdev.ready && (bdev.name === name || bdev.aliases.includes(name)));
  }

  /** The superblock of a disk that somebody names; what cannot be read is none. */
  #readAny(bdev: Bdev): Promise<RaidSuperblock | null> {
    return readRaidSuperblock(bdev, this.reactor).catch((error: unknown) => {
      raidLog.info(`bdev "${bdev.name}": ${explain(error)}`);
      return null;
    });
  }

  /** A disk that must not be a member of anything yet, as its superblock says, but for the one that is told here. @throws {SpdkError} EEXIST; as RaidDisk.claim */
  #claimNew(disk: RaidDisk, slot: RaidSlot, bdev: Bdev, found: RaidSuperblock | null, again = false): void {
    if (disk.state === 'offline') throw new SpdkError('ENODEV', `raid "${disk.params.name}" is being removed`);
    disk.claim(slot, bdev.name);
    if (found === null || (again && found.uuid === disk.params.uuid)) return;
    slot.close();
    throw new SpdkError('EEXIST', `bdev "${bdev.name}" has the superblock of raid "${found.name}"`);
  }

  /** Ends a RAID disk. @throws {SpdkError} ENODEV */
  async delete(name: string, clearSuperblocks = false): Promise<void> {
    await this.get(name).end(clearSuperblocks);
  }

  /**
   * Adds a disk to a RAID disk that lacks one; it is rebuilt from then on. To one that is configuring, a member of it whose superblock cannot be read: the raid goes on with the others' data.
   * @throws {SpdkError} ENODEV; EINVAL when it does not fit or nothing is missing, or its data cannot be done without; EPERM when it is in use; EEXIST when it has a superblock;
   * EAGAIN when the raid waits for other disks.
   */
  async addBaseBdev(name: string, base: string): Promise<void> {
    this.get(name);
    const bdev = this.bdevs.get(base);
    const found = await this.#readAny(bdev);
    await this.#serial(async () => {
      const disk = this.get(name);
      if (disk.state === 'configuring' && found?.uuid === disk.params.uuid) await this.#examineMember(bdev, found);
      else if (disk.state === 'configuring') await this.#goOnWithout(disk, bdev, found);
      else await disk.serial(() => this.#addBaseBdev(disk, bdev, found));
    });
  }

  async #addBaseBdev(disk: RaidDisk, bdev: Bdev, found: RaidSuperblock | null): Promise<void> {
    const { name } = disk.params;
    if (disk.state !== 'online') throw new SpdkError('EAGAIN', `raid "${name}" is ${disk.state}`);
    const slot =
      disk.slots.find((each) => each.base === null && each.uuid === bdev.uuid) ??
      disk.slots.find((each) => each.base === null);
    if (slot === undefined) throw new SpdkError('EINVAL', `raid "${name}" has all its base bdevs`);
    const { name: before, uuid } = slot;
    try {
      if (disk.memberBlocks + slot.dataOffset > bdev.blocks) {
        const needs = `${disk.memberBlocks + slot.dataOffset} blocks are needed`;
        throw new SpdkError('EINVAL', `raid "${name}": bdev "${bdev.name}" has ${bdev.blocks} blocks, ${needs}`);
      }
      slot.dataBlocks = Math.max(disk.memberBlocks, Math.min(slot.dataBlocks, bdev.blocks - slot.dataOffset));
      this.#claimNew(disk, slot, bdev, found, true);
    } catch (error) {
      slot.name = before;
      slot.uuid = uuid;
      throw error;
    }
    await disk.add(slot);
  }

  /** By wish: what `bdev` holds counts no more, and it is rebuilt from the other members, which must all be there. */
  async #goOnWithout(disk: RaidDisk, bdev: Bdev, found: RaidSuperblock | null): Promise<void> {
    const { name } = disk.params;
    const slot = disk.slots.find(({ uuid, base, damage }) => uuid === bdev.uuid && (base === null || damage !== null));
    if (disk.seq === 0 || slot === undefined) {
      throw new SpdkError('EAGAIN', `raid "${name}" is configuring, and bdev "${bdev.name}" is none that it lacks`);
    }
    const others = disk.slots.filter((each) => each !== slot && each.sbState === RAID_SB_CONFIGURED);
    const absent = others.find(({ base }) => base === null);
    if (absent !== undefined) {
      throw new SpdkError('EAGAIN', `raid "${name}" is configuring: it waits for base bdev ${absent.uuid}`);
    }
    if (others.filter(({ damage }) => damage === null).length < disk.least) {
      throw new SpdkError('EINVAL', `raid "${name}" does not work without the data of bdev "${bdev.name}"`);
    }
    if (slot.base === null) this.#claimNew(disk, slot, bdev, found);
    slot.sbState = RAID_SB_MISSING;
    await this.#startIfReady(disk);
  }

  /** Takes a disk out of the RAID disk that it is a member of; that goes when it does not work without. @throws {SpdkError} ENODEV */
  async removeBaseBdev(base: string): Promise<void> {
    const bdev = this.bdevs.get(base);
    const find = (disk: RaidDisk) => disk.slots.find((slot) => slot.base?.bdev === bdev);
    const disk = this.list().find((each) => find(each) !== undefined);
    if (disk === undefined) throw new SpdkError('ENODEV', `bdev "${base}" is no base bdev of a raid`);
    await disk.remove(find(disk) as RaidSlot);
  }

  /** A disk is there: is it a member? What is wrong with it goes to the log. */
  async examine(bdev: Bdev): Promise<void> {
    try {
      const found = await this.#superblockOf(bdev);
      const others = await this.#serial(() => this.#examine(bdev, found));
      for (const other of others) await this.examine(other);
    } catch (error) {
      // One that is going is not worth a word.
      if (bdev.ready && !isGone(error)) raidLog.error(`bdev "${bdev.name}": ${explain(error)}`);
    }
  }

  /** The place that waits for a disk by its name. */
  #waiting(bdev: Bdev): { disk: RaidDisk; slot: RaidSlot } | null {
    const names = [bdev.name, ...bdev.aliases];
    for (const disk of this.list('configuring')) {
      const slot = disk.seq > 0 ? undefined : disk.slots.find((each) => each.wants(names));
      if (slot !== undefined) return { disk, slot };
    }
    return null;
  }

  /** Null when it has none, when the disk is somebody's already, and when it is waited for and cannot be read. */
  async #superblockOf(bdev: Bdev): Promise<RaidSuperblock | DamagedRaidSuperblock | null> {
    // One with metadata can be no member.
    const free = () => bdev.ready && bdev.writable && bdev.metadata === null && bdev.shared.claim === 0;
    if (!free()) return null;
    const found = await readRaidSuperblock(bdev, this.reactor).catch((error: unknown) => {
      if (error instanceof DamagedRaidSuperblock) return error;
      if (this.#waiting(bdev) === null) throw error;
      raidLog.info(`bdev "${bdev.name}": ${explain(error)}`);
      return null;
    });
    return free() ? found : null;
  }

  /** Returns others to be examined again. */
  async #examine(bdev: Bdev, found: RaidSuperblock | DamagedRaidSuperblock | null): Promise<Bdev[]> {
    if (!bdev.ready || bdev.shared.claim !== 0) return [];
    const waiting = this.#waiting(bdev);
    if (waiting !== null) {
      this.#claimNew(waiting.disk, waiting.slot, bdev, found instanceof DamagedRaidSuperblock ? null : found);
      await this.#startIfReady(waiting.disk);
    } else if (found instanceof DamagedRaidSuperblock) await this.#examineDamaged(bdev, found);
    else if (found !== null) return this.#examineMember(bdev, found);
    return [];
  }

  /** Returns members that were there before, when nobody looked for them. */
  async #examineMember(bdev: Bdev, sb: RaidSuperblock): Promise<Bdev[]> {
    let disk = this.list().find(({ params }) => params.uuid === sb.uuid);
    const isNew = disk === undefined;
    disk ??= this.#fromSuperblock(sb);
    if (disk.state === 'configuring' && sb.seqNumber > disk.seq) disk.adopt(sb);
    else if (disk.state === 'online' && sb.seqNumber > disk.seq) {
      raidLog.error(`raid "${sb.name}" is online, and bdev "${bdev.name}" has a newer superblock: ${sb.seqNumber}`);
      return [];
    }
    const slot = disk.slots.find(({ uuid, base }) => uuid === bdev.uuid && base === null);
    if (slot === undefined || disk.state === 'offline') {
      raidLog.info(`bdev "${bdev.name}" is no member of raid "${sb.name}" any more`);
    } else await this.#join(disk, slot, bdev);
    if (!isNew) return [];
    const members = sb.baseBdevs.map(({ uuid }) => this.#bdev(uuid));
    return members.filter((other) => other !== undefined && other !== bdev) as Bdev[];
  }

  /** A disk whose superblock is that of a member, and damaged; what the others' say of it is heard when they are there. */
  async #examineDamaged(bdev: Bdev, damage: DamagedRaidSuperblock): Promise<void> {
    const disk = this.list().find(({ params }) => params.uuid === damage.uuid);
    const slot = disk?.slots.find(({ uuid, base }) => uuid === bdev.uuid && base === null);
    const what = `bdev "${bdev.name}": ${damage.message}`;
    if (disk === undefined) raidLog.warn(`${what}; no other base bdev of raid ${damage.uuid} is there yet`);
    else if (slot === undefined || disk.state === 'offline') raidLog.info(`${what}; it is no base bdev any more`);
    else if (disk.state === 'configuring') {
      disk.claim(slot, bdev.name);
      slot.damage = damage;
      await this.#startIfReady(disk);
    } else if (damage.seqNumber > disk.seq) {
      const newer = `it says sequence number ${damage.seqNumber}, raid "${disk.params.name}", which is online, ${disk.seq}`;
      raidLog.error(`${what}; ${newer}; bdev_raid_add_base_bdev rebuilds it`);
    } else await this.#join(disk, slot, bdev);
  }

  async #startIfReady(disk: RaidDisk): Promise<void> {
    if (this.#creating.has(disk)) return;
    if (disk.complete) {
      await disk.start();
      return;
    }
    for (const slot of disk.slots) {
      const damage = damageOf(disk, slot);
      if (damage !== null)
        raidLog.warn(`raid "${disk.params.name}" is configuring: base bdev "${slot.name}": ${damage}`);
    }
  }

  #fromSuperblock(sb: RaidSuperblock): RaidDisk {
    const { name, uuid, level, numBaseBdevs } = sb;
    const names: string[] = new Array(numBaseBdevs).fill('');
    if (raidLevelName(level) === '') throw new SpdkError('EINVAL', `raid "${name}": no level has the number ${level}`);
    const stripSizeKb = (sb.stripSize * sb.blockSize) / 1024;
    const params = { name, uuid, level, stripSizeKb, superblock: true, baseBdevs: names };
    this.#check({ ...params, baseBdevs: names.map((_, i) => `slot ${i}`) });
    const disk = this.#add(params);
    disk.blockBytes = sb.blockSize;
    disk.adopt(sb);
    return disk;
  }

  /** `bdev` is the disk of `slot`, and either up to date or to be rebuilt. */
  async #join(disk: RaidDisk, slot: RaidSlot, bdev: Bdev): Promise<void> {
    if (disk.state === 'configuring') {
      disk.claim(slot, bdev.name);
      await this.#startIfReady(disk);
      return;
    }
    await disk.serial(async () => {
      if (disk.state !== 'online' || slot.base !== null) return;
      disk.claim(slot, bdev.name);
      if (slot.sbState === RAID_SB_CONFIGURED) slot.sbState = RAID_SB_MISSING;
      await disk.add(slot);
    });
  }

  /** Calls that make again what no disk says: options, and RAID disks that wait. */
  configCalls(): BdevConfigCall[] {
    const calls: BdevConfigCall[] = [{ method: 'bdev_raid_set_options', params: { ...this.options } }];
    for (const disk of this.list('configuring')) calls.push(...raidConfigCalls(disk));
    return calls;
  }
}

const registryKey = localKey('bdev_raid_registry', (reactor) => new RaidRegistry(reactor));

/** The application's RAID disks. App core only. */
export function raidRegistry(reactor: Reactor): RaidRegistry {
  return reactor.local(registryKey);
}

/** A disk has been made: makes it a member if a RAID disk wants it, or its superblock says that it is one. */
export function examineRaidMember(bdev: Bdev, reactor: Reactor): Promise<void> {
  return raidRegistry(reactor).examine(bdev);
}
