/**
 * All block devices of an application: made, found, resized and removed here, on the app core, and replayed on every reactor.
 *
 * Control path. A disk exists for users once every reactor has it, and is gone once every descriptor on every reactor is closed: `delete` tells
 * the owners, waits for them, then lets the module take its memory or file back. Names are unique over names, aliases and uuids.
 */
import { randomUUID } from 'node:crypto';
import { explain, SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { localKey, type Reactor } from '../event/reactor.ts';
import { log } from '../log/index.ts';
import {
  aliasBdev,
  attachBdev,
  awaitBdevReleased,
  detachBdev,
  limitBdevRates,
  removeBdev,
  resizeBdev,
  setPoolOptions,
  setZeroes,
  statBdev,
} from './attach.ts';
import { type BaseBdev, checkBases } from './base-bdev.ts';
import type { Bdev } from './bdev.ts';
import { BufferReserve } from './buffer-reserve.ts';
import { callAll } from './call-all.ts';
import { IoStat, type ResetStatMode } from './io-stat.ts';
import { bdevManager } from './manager.ts';
import { Metadata, type MetadataFormat } from './metadata.ts';
import {
  type BdevConfigCall,
  type BdevLimits,
  type BdevModule,
  type BdevSpec,
  bdevModule,
  type NewBdev,
} from './module.ts';
import { changedLimits, createQosState, QOS_LIMITS, type QosLimits, writeLimits } from './qos.ts';
import { dropSegment, shareSegment } from './segments.ts';
import { createSharedState } from './shared-state.ts';

/** Looks at a disk that has just been made, and may make others on top of it (SPDK: examine_config, examine_disk). */
export type ExamineHook = (bdev: Bdev) => Promise<void> | void;

export interface BdevOptions {
  /** I/Os under way at once on one reactor. */
  bdev_io_pool_size: number;
  /** I/Os made at once. */
  bdev_io_cache_size: number;
  /** Examine disks as they are made. */
  bdev_auto_examine: boolean;
}

/** Counters of a disk, over all reactors. */
export interface BdevStat {
  readonly bdev: Bdev;
  readonly stat: IoStat;
  readonly channels: { readonly thread: number; readonly stat: IoStat }[];
}

const bdevLog = log.register('bdev');

const NO_LIMITS: BdevLimits = {
  physicalBlockSizeBytes: 0,
  optimalIoBoundaryBlocks: 0,
  preferredWriteAlignmentBlocks: 0,
  preferredWriteGranularityBlocks: 0,
  optimalWriteSizeBlocks: 0,
  preferredUnmapAlignmentBlocks: 0,
  preferredUnmapGranularityBlocks: 0,
  splitOnOptimalIoBoundary: false,
  writeUnitBlocks: 0,
  splitOnWriteUnit: false,
  maxRwBlocks: 0,
  maxSegments: 0,
  maxSegmentBytes: 0,
  maxUnmapBlocks: 0,
  maxWriteZeroesBlocks: 0,
  maxCopyBlocks: 0,
};

export class BdevRegistry {
  readonly reactor: Reactor;
  readonly options: BdevOptions = {
    bdev_io_pool_size: limits.bdev_ios_max,
    bdev_io_cache_size: limits.bdev_io_grow,
    bdev_auto_examine: true,
  };
  readonly examineHooks: ExamineHook[] = [];
  /** All disks are going: one that loses another must not take it for a failure. */
  finishing = false;
  #ids = 0;
  /** Names of disks that are being made. */
  readonly #reserved = new Set<string>();
  readonly #removals = new Map<number, Promise<void>>();
  readonly #examining = new Set<Promise<void>>();
  /** What a disk stands on, and what removes it with that, by its id. */
  readonly #bases = new Map<number, { readonly bases: readonly BaseBdev[]; readonly owner: () => void }>();
  /** Disks that wait for what they are to stand on. */
  #deferred: { readonly base: string; readonly moduleName: string; readonly params: { readonly name: string } }[] = [];
  #zeroes = 0;
  readonly #reserve: BufferReserve;

  constructor(reactor: Reactor) {
    if (reactor.core !== reactor.app.mainCore) {
      throw new SpdkError(
        'EWRONGTHREAD',
        `bdevs are made on core ${reactor.app.mainCore}, not on core ${reactor.core}`,
      );
    }
    this.reactor = reactor;
    this.#reserve = new BufferReserve(reactor);
  }

  /** Called when a disk has been made, and when one has gone. */
  onRegister: (bdev: Bdev) => void = () => {};
  onUnregister: (bdev: Bdev) => void = () => {};
  readonly #awaited = new Set<(bdev: Bdev) => void>();

  /** Before the first disk: shares the zeroes that emulation writes from. */
  async init(): Promise<void> {
    this.finishing = false;
    this.#zeroes = await shareSegment(this.reactor, limits.bdev_zero_bytes);
    await callAll(this.reactor, setZeroes, this.#zeroes);
  }

  /** Removes every disk and gives everything back. */
  async fini(): Promise<void> {
    this.finishing = true;
    this.#deferred = [];
    // The newest first, one after the other: a disk may still write to what it stands on when it goes.
    for (let disks = this.list(); disks.length > 0; disks = this.list()) {
      await this.#removeOnce(disks[disks.length - 1]);
    }
    await Promise.all(this.#removals.values());
    if (this.#zeroes !== 0) await dropSegment(this.reactor, this.#zeroes);
    this.#zeroes = 0;
    await this.#reserve.drop();
  }

  /** All disks, oldest first. */
  list(): Bdev[] {
    return [...this.reactor.local(bdevManager).byId.values()];
  }

  /** By name, alias or uuid. @throws {SpdkError} ENODEV */
  get(name: string): Bdev {
    return this.reactor.local(bdevManager).get(name);
  }

  has(name: string): boolean {
    return this.#reserved.has(name) || this.reactor.local(bdevManager).byName.has(name);
  }

  /** The disk of that name, as soon as there is one. @throws {SpdkError} ENODEV when there is none within `timeoutMs`. */
  waitFor(name: string, timeoutMs: number): Promise<Bdev> {
    const known = this.reactor.local(bdevManager).byName.get(name);
    if (known !== undefined) return Promise.resolve(known);
    const missing = new SpdkError('ENODEV', `no bdev named "${name}"`);
    if (timeoutMs === 0) return Promise.reject(missing);
    return new Promise((resolve, reject) => {
      const look = (bdev: Bdev): void => {
        if (bdev.name !== name && !bdev.aliases.includes(name)) return;
        this.#awaited.delete(look);
        clearTimeout(timer);
        resolve(bdev);
      };
      const timer = setTimeout(
        () => {
          this.#awaited.delete(look);
          reject(missing);
        },
        Math.min(timeoutMs, 0x7fffffff),
      );
      timer.unref();
      this.#awaited.add(look);
    });
  }

  /** A name that is free: `prefix` and the lowest number (SPDK: Malloc0, Malloc1). */
  freeName(prefix: string): string {
    for (let i = 0; ; i++) if (!this.has(`${prefix}${i}`)) return `${prefix}${i}`;
  }

  /**
   * Makes a disk and attaches it on every reactor.
   * @throws {SpdkError} EEXIST for a name or uuid that is taken; EINVAL for a bad block size or count; what the module throws.
   */
  async create(moduleName: string, params: unknown): Promise<Bdev> {
    const module = bdevModule(moduleName);
    const made = await module.create(params, this.reactor);
    const bases = made.bases ?? [];
    const bdev = await this.#make(module, made, bases);
    try {
      // One may have begun to go after all cores had attached.
      checkBases(bases);
      await module.made?.(bdev, this.reactor);
    } catch (error) {
      await this.#removeOnce(bdev);
      throw error;
    }
    this.onRegister(bdev);
    for (const look of [...this.#awaited]) look(bdev);
    this.#createDeferred(bdev);
    if (this.options.bdev_auto_examine) void this.examine(bdev);
    return bdev;
  }

  /** Attaches what a module has made, and has it removed with its bases. What fails is undone. */
  async #make(module: BdevModule, made: NewBdev, bases: readonly BaseBdev[]): Promise<Bdev> {
    const names: string[] = [];
    try {
      const spec = this.#specOf(module.name, made, names);
      checkBases(bases);
      await this.#attach(spec, bases);
      const bdev = this.get(spec.name);
      const owner = () => void this.#removeOnce(bdev);
      this.#bases.set(bdev.id, { bases, owner });
      for (const base of bases) base.owners.add(owner);
      return bdev;
    } catch (error) {
      await module.destroy(made, this.reactor);
      for (const base of bases) base.close();
      throw error;
    } finally {
      for (const name of names) this.#reserved.delete(name);
    }
  }

  /**
   * As `create`, for a disk on the disk `base`. When there is none yet, the disk is made as soon as there is, and a failure then goes to the log.
   * @returns its name
   */
  async createOn(base: string, moduleName: string, params: { readonly name: string }): Promise<string> {
    if (this.reactor.local(bdevManager).byName.has(base)) return (await this.create(moduleName, params)).name;
    if (this.has(params.name) || this.#deferred.some((each) => each.params.name === params.name)) {
      throw new SpdkError('EEXIST', `bdev name "${params.name}" is taken`);
    }
    bdevModule(moduleName);
    this.#deferred.push({ base, moduleName, params });
    bdevLog.info(`bdev "${params.name}" waits for its base "${base}"`);
    return params.name;
  }

  /** A disk is there: makes what has waited for it. */
  #createDeferred(bdev: Bdev): void {
    const due = this.#deferred.filter(({ base }) => base === bdev.name || bdev.aliases.includes(base));
    this.#deferred = this.#deferred.filter((each) => !due.includes(each));
    for (const { moduleName, params } of due) {
      this.#track(
        this.create(moduleName, params).then(
          () => {},
          (error: unknown) => bdevLog.error(`bdev "${params.name}" on "${bdev.name}": ${explain(error)}`),
        ),
      );
    }
  }

  /** @throws {SpdkError} EEXIST, ENAMETOOLONG */
  #checkName(name: string): void {
    const bytes = Buffer.byteLength(name);
    if (bytes === 0 || bytes > limits.name_bytes) {
      throw new SpdkError('ENAMETOOLONG', `bdev name of ${bytes} bytes, limit 1 to ${limits.name_bytes}`);
    }
    if (this.has(name)) throw new SpdkError('EEXIST', `bdev name "${name}" is taken`);
  }

  #specOf(moduleName: string, made: NewBdev, reserve: string[]): BdevSpec {
    const { name, blockSizeBytes, blocks } = made;
    const dataBytes = blockSizeBytes - (made.metadata?.interleaved === true ? made.metadata.bytes : 0);
    if (!(Number.isInteger(dataBytes) && dataBytes >= 512 && dataBytes % 512 === 0)) {
      throw new SpdkError('EINVAL', `bdev "${name}": block size ${blockSizeBytes} is not a multiple of 512`);
    }
    if (!(blocks > 0 && Number.isSafeInteger(blocks * blockSizeBytes))) {
      throw new SpdkError('EINVAL', `bdev "${name}": ${blocks} blocks of ${blockSizeBytes} bytes is no size`);
    }
    const uuid = (made.uuid ?? randomUUID()).toLowerCase();
    const aliases = [...(made.aliases ?? [])];
    if (uuid !== name && !aliases.includes(uuid)) aliases.push(uuid);
    for (const each of [name, ...aliases]) {
      this.#checkName(each);
      this.#reserved.add(each);
      reserve.push(each);
    }
    return {
      id: ++this.#ids,
      name,
      aliases,
      uuid,
      moduleName,
      productName: made.productName,
      blockSizeBytes,
      blocks,
      writable: made.writable ?? true,
      ioTypes: made.ioTypes,
      volatileCache: made.volatileCache ?? false,
      homeCore: made.homeCore ?? -1,
      level: this.#levelOf(made),
      limits: { ...NO_LIMITS, ...made.limits },
      metadata: this.#metadataOf(made),
      shared: createSharedState(),
      qos: createQosState(),
      data: made.data,
    };
  }

  #levelOf({ bases = [], level = 1 + Math.max(-1, ...bases.map(({ bdev }) => bdev.level)) }: NewBdev): number {
    return level;
  }

  /** Told here once, rather than on each core. */
  #metadataOf({ name, metadata = null, blockSizeBytes, homeCore = -1 }: NewBdev): MetadataFormat | null {
    if (metadata === null) return null;
    if (homeCore >= 0) throw new SpdkError('ENOTSUP', `bdev "${name}": metadata of a disk that lives on one core`);
    try {
      return new Metadata(metadata, blockSizeBytes).format;
    } catch (error) {
      throw new SpdkError((error as SpdkError).code, `bdev "${name}": ${(error as SpdkError).message}`);
    }
  }

  async #attach(spec: BdevSpec, bases: readonly BaseBdev[]): Promise<void> {
    await this.#reserve.cover(spec.level);
    try {
      await callAll(this.reactor, attachBdev, spec, spec.homeCore < 0 ? undefined : spec.homeCore);
      checkBases(bases);
    } catch (error) {
      await callAll(this.reactor, detachBdev, spec.id);
      throw error;
    }
  }

  /**
   * Removes a disk: its owners hear 'remove', and this resolves when they have closed it and it is gone.
   * @throws {SpdkError} ENODEV when there is none; when it is of another module than `moduleName`.
   */
  async delete(name: string, moduleName?: string): Promise<void> {
    const bdev = this.get(name);
    if (moduleName !== undefined && bdev.moduleName !== moduleName) {
      throw new SpdkError('ENODEV', `bdev "${name}" is of module ${bdev.moduleName}, not ${moduleName}`);
    }
    return this.#removeOnce(bdev);
  }

  #removeOnce(bdev: Bdev): Promise<void> {
    const known = this.#removals.get(bdev.id);
    if (known !== undefined) return known;
    const removal = this.#remove(bdev).finally(() => this.#removals.delete(bdev.id));
    this.#removals.set(bdev.id, removal);
    return removal;
  }

  async #remove(bdev: Bdev): Promise<void> {
    bdev.shared.beginRemove();
    await callAll(this.reactor, removeBdev, bdev.id);
    await callAll(this.reactor, awaitBdevReleased, bdev.id);
    await callAll(this.reactor, detachBdev, bdev.id);
    await bdevModule(bdev.moduleName).destroy(bdev.spec, this.reactor);
    const { bases = [], owner = () => {} } = this.#bases.get(bdev.id) ?? {};
    this.#bases.delete(bdev.id);
    for (const base of bases) {
      base.owners.delete(owner);
      base.close();
    }
    this.onUnregister(bdev);
  }

  /**
   * Gives a disk another size and tells its owners. The module has already done its part.
   * @throws {SpdkError} ENODEV; EINVAL; EBUSY when it would shrink while somebody has it open.
   */
  async resize(name: string, blocks: number): Promise<void> {
    const bdev = this.get(name);
    if (!(blocks > 0 && Number.isSafeInteger(blocks * bdev.blockSizeBytes))) {
      throw new SpdkError('EINVAL', `bdev "${name}": ${blocks} blocks is no size`);
    }
    if (blocks < bdev.blocks && bdev.shared.descs > 0) {
      throw new SpdkError('EBUSY', `bdev "${name}" is open and cannot shrink from ${bdev.blocks} to ${blocks} blocks`);
    }
    await callAll(this.reactor, resizeBdev, { id: bdev.id, blocks });
  }

  /**
   * Limits the rates of a disk over all cores; a limit that is not named stays, 0 takes it away.
   * @throws {SpdkError} ENODEV; EINVAL out of range
   */
  async setRates(name: string, change: Partial<Record<keyof QosLimits, number | undefined>>): Promise<void> {
    const bdev = this.get(name);
    const rates = changedLimits(bdev.rates, change);
    bdev.rates = rates;
    writeLimits(bdev.spec.qos, rates);
    await callAll(this.reactor, limitBdevRates, { id: bdev.id, on: QOS_LIMITS.some((kind) => rates[kind] > 0) });
  }

  /** @throws {SpdkError} ENODEV; EEXIST when the alias is taken; ENAMETOOLONG, also when it is empty. */
  async addAlias(name: string, alias: string): Promise<void> {
    const bdev = this.get(name);
    this.#checkName(alias);
    this.#reserved.add(alias);
    try {
      await callAll(this.reactor, aliasBdev, { id: bdev.id, alias, add: true });
    } finally {
      this.#reserved.delete(alias);
    }
  }

  /** @throws {SpdkError} ENODEV; ENOENT when it is no alias of that disk (its name is none). */
  async deleteAlias(name: string, alias: string): Promise<void> {
    const bdev = this.get(name);
    if (!bdev.aliases.includes(alias)) throw new SpdkError('ENOENT', `bdev "${name}" has no alias "${alias}"`);
    await callAll(this.reactor, aliasBdev, { id: bdev.id, alias, add: false });
  }

  /** Removes every alias of a disk, but not its name. */
  async deleteAllAliases(name: string): Promise<void> {
    for (const alias of [...this.get(name).aliases]) await this.deleteAlias(name, alias);
  }

  /** Counters of some disks (default: all), read and then reset as `reset` says. */
  async stat(names?: readonly string[], reset: ResetStatMode = 'none'): Promise<BdevStat[]> {
    const bdevs = names === undefined ? this.list() : names.map((name) => this.get(name));
    const stats = bdevs.map((bdev) => ({ bdev, stat: new IoStat(), channels: [] as BdevStat['channels'][number][] }));
    const replies = await callAll(this.reactor, statBdev, { ids: bdevs.map((bdev) => bdev.id), reset });
    for (const reply of replies.flat()) {
      const entry = stats.find((stat) => stat.bdev.id === reply.id);
      entry?.stat.add(new IoStat(reply.words));
      for (const channel of reply.channels) {
        entry?.channels.push({ thread: channel.thread, stat: new IoStat(channel.words) });
      }
    }
    return stats;
  }

  /** Lets the hooks look at a disk. */
  examine(bdev: Bdev): Promise<void> {
    return this.#track(
      (async () => {
        for (const hook of this.examineHooks) await hook(bdev);
      })(),
    );
  }

  /** What `waitForExamine` waits for. */
  #track(work: Promise<void>): Promise<void> {
    const tracked = work.finally(() => this.#examining.delete(tracked));
    this.#examining.add(tracked);
    return tracked;
  }

  /** Resolves when nothing is being examined. */
  async waitForExamine(): Promise<void> {
    while (this.#examining.size > 0) await Promise.allSettled([...this.#examining]);
  }

  /** @throws {SpdkError} EINVAL when the pool is smaller than a cache. */
  async setOptions(options: Partial<BdevOptions>): Promise<void> {
    const next = { ...this.options, ...options };
    if (next.bdev_io_pool_size < next.bdev_io_cache_size || next.bdev_io_cache_size < 1) {
      throw new SpdkError(
        'EINVAL',
        `Pool size ${next.bdev_io_pool_size} too small for cache size ${next.bdev_io_cache_size}`,
      );
    }
    Object.assign(this.options, next);
    await callAll(this.reactor, setPoolOptions, { ios: next.bdev_io_pool_size, growBy: next.bdev_io_cache_size });
  }

  /** Calls that would make this state again. */
  configCalls(): BdevConfigCall[] {
    const calls: BdevConfigCall[] = [{ method: 'bdev_set_options', params: { ...this.options } }];
    for (const bdev of this.list()) {
      calls.push(...bdevModule(bdev.moduleName).configCalls({ ...bdev.spec, blocks: bdev.blocks }, this.reactor));
      if (bdev.qos !== null) calls.push({ method: 'bdev_set_qos_limit', params: { name: bdev.name, ...bdev.rates } });
    }
    calls.push({ method: 'bdev_wait_for_examine', params: {} });
    return calls;
  }
}

const registryKey = localKey('bdev_registry', (reactor) => new BdevRegistry(reactor));

/** The application's disks. App core only. @throws {SpdkError} EWRONGTHREAD */
export function bdevRegistry(reactor: Reactor): BdevRegistry {
  return reactor.local(registryKey);
}
