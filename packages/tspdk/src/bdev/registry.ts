/**
 * All block devices of an application: made, found, resized and removed here, on the app core, and replayed on every reactor.
 *
 * Control path. A disk exists for users once every reactor has it, and is gone once every descriptor on every reactor is closed: `delete` tells
 * the owners, waits for them, then lets the module take its memory or file back. Names are unique over names, aliases and uuids.
 */
import { explain, SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { localKey, type Reactor } from '../event/reactor.ts';
import { log } from '../log/index.ts';
import { type Association, Associations } from './associations.ts';
import {
  aliasBdev,
  attachBdev,
  awaitBdevReleased,
  detachBdev,
  dropHeapReserve,
  limitBdevRates,
  removeBdev,
  resizeBdev,
  setConstants,
  setPoolOptions,
} from './attach.ts';
import { Awaited } from './awaited.ts';
import { type BaseBdev, checkBases } from './base-bdev.ts';
import type { Bdev } from './bdev.ts';
import { type BdevOptions, checkOptions, defaultOptions } from './bdev-options.ts';
import { type BdevStat, collectStats } from './bdev-stat.ts';
import { BufferReserve } from './buffer-reserve.ts';
import { callAll } from './call-all.ts';
import { disksCalls } from './config-calls.ts';
import { type ExamineHook, Examiner } from './examiner.ts';
import type { ResetStatMode } from './io-stat.ts';
import { bdevManager, fillOctets, OCTETS } from './manager.ts';
import {
  type BdevConfigCall,
  type BdevModule,
  type BdevModuleName,
  type BdevParams,
  type BdevSpec,
  bdevModule,
  type NewBdev,
  WAIT_FOR_EXAMINE,
} from './module.ts';
import { checkLength, newSpec } from './new-spec.ts';
import { changedLimits, QOS_LIMITS, type QosLimits, writeLimits } from './qos.ts';
import { dropSegment, shareSegment } from './segments.ts';

const bdevLog = log.register('bdev');

/** The application's disks, see `bdevRegistry`. App core only. */
export class BdevRegistry {
  readonly reactor: Reactor;
  readonly options = defaultOptions();
  /** All disks are going: one that loses another must not take it for a failure. */
  finishing = false;
  #ids = 0;
  /** Names of disks that are being made. */
  readonly #reserved = new Set<string>();
  /** Disks that nobody finds any more and that are being given back, by each of their names. */
  readonly #leaving = new Map<string, Bdev>();
  readonly #removals = new Map<number, Promise<void>>();
  /** Disks that not every core has yet, by name, until they are attached or that has failed. */
  readonly #attaching = new Map<string, Promise<unknown>>();
  /** What a disk stands on, and what removes it with that, by its id. */
  readonly #bases = new Map<number, { readonly bases: readonly BaseBdev[]; readonly owner: () => void }>();
  /** Disks that come with their bases. */
  readonly #associations = new Associations();
  readonly #examiner = new Examiner((bdev) => this.#createWaiting(bdev));
  /** Whether a disk is looked at when it comes. */
  readonly #isExamined = (bdev: Bdev) => this.options.bdev_auto_examine || this.#examiner.allows(bdev);
  /** Segments that the layer writes from. */
  #constants: { readonly zeroes: number; readonly octets: number } | null = null;
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

  /** Sizes the caches of I/O buffers, before there are disks. Set by who has the pools. */
  setIoBufCaches: (sizes: { readonly smallCache: number; readonly largeCache: number }) => Promise<void> =
    async () => {};
  /** Called when a disk has been made, when it has another size, and when it has gone and given everything back. The subsystem's, for notifications. */
  onRegister: (bdev: Bdev) => void = () => {};
  onResize: (bdev: Bdev) => void = () => {};
  onUnregister: (bdev: Bdev) => void = () => {};
  /** Disks of which `onRegister` has told. */
  readonly #told = new Set<Bdev>();
  readonly #awaited = new Awaited();

  /** Before the first disk: shares what the layer itself writes from. */
  async init(): Promise<void> {
    this.finishing = false;
    const zeroes = await shareSegment(this.reactor, limits.bdev_zero_bytes);
    const octets = await shareSegment(this.reactor, OCTETS, false);
    fillOctets(this.reactor.segments.get(octets));
    this.#constants = { zeroes, octets };
    await callAll(this.reactor, setConstants, this.#constants);
  }

  /** Removes every disk and gives everything back. */
  async fini(): Promise<void> {
    this.finishing = true;
    this.#associations.clear();
    this.#examiner.clear();
    // The newest first, one after the other: a disk may still write to what it stands on when it goes.
    const { byId } = this.reactor.local(bdevManager);
    for (let disks = [...byId.values()]; disks.length + this.#attaching.size > 0; disks = [...byId.values()]) {
      if (disks.length > 0) await this.#removeOnce(disks[disks.length - 1]);
      else await Promise.all(this.#attaching.values());
    }
    await Promise.all(this.#removals.values());
    for (const id of Object.values(this.#constants ?? {})) await dropSegment(this.reactor, id);
    this.#constants = null;
    await this.#reserve.drop();
    await callAll(this.reactor, dropHeapReserve, null);
  }

  /** All disks that every core has, oldest first. */
  list(): Bdev[] {
    return [...this.reactor.local(bdevManager).byId.values()].filter(({ attaching }) => !attaching);
  }

  /** By name, alias or uuid. @throws {SpdkError} ENODEV, also while not every core has it */
  get(name: string): Bdev {
    return this.reactor.local(bdevManager).get(name);
  }

  has(name: string): boolean {
    return this.#reserved.has(name) || this.#leaving.has(name) || this.reactor.local(bdevManager).byName.has(name);
  }

  /** Whether a disk has that name, and is no longer being made; it may be going. */
  isThere(name: string): boolean {
    const known = this.reactor.local(bdevManager).byName.get(name);
    return known?.attaching === false;
  }

  /** The disk of that name, as soon as there is one. @throws {SpdkError} ENODEV when there is none within `timeoutMs`. */
  waitFor(name: string, timeoutMs: number): Promise<Bdev> {
    if (this.isThere(name)) return Promise.resolve(this.get(name));
    return this.#awaited.wait(name, timeoutMs);
  }

  /** A name that is free: `prefix` and the lowest number (SPDK: Malloc0, Malloc1). */
  freeName(prefix: string): string {
    for (let i = 0; ; i++) if (!this.has(`${prefix}${i}`)) return `${prefix}${i}`;
  }

  /**
   * Makes a disk and attaches it on every reactor.
   * @throws {SpdkError} EEXIST for a name or uuid that is taken; EINVAL for a bad block size or count; ENODEV when it, or what it stands on, is removed meanwhile; ESHUTDOWN when all disks are going; what
   * the module throws.
   */
  async create<M extends BdevModuleName>(moduleName: M, params: BdevParams<M>): Promise<Bdev> {
    const module = bdevModule(moduleName);
    const made = await module.create(params, this.reactor);
    const bases = made.bases ?? [];
    const bdev = await this.#make(module, made, bases);
    try {
      // One may have begun to go after all cores had attached.
      checkBases(bases);
      this.#checkReady(bdev);
      await module.made?.(bdev, this.reactor);
      this.#checkReady(bdev);
    } catch (error) {
      await this.#removeOnce(bdev);
      throw error;
    }
    this.#told.add(bdev);
    this.onRegister(bdev);
    this.#awaited.came(bdev);
    if (this.#isExamined(bdev)) void this.examine(bdev);
    return bdev;
  }

  /** @throws {SpdkError} ENODEV when it is going. */
  #checkReady(bdev: Bdev): void {
    if (!bdev.ready) throw new SpdkError('ENODEV', `bdev "${bdev.name}" has been removed while it was made`);
  }

  /** Attaches what a module has made, and has it removed with its bases. What fails is undone. */
  async #make(module: BdevModule, made: NewBdev, bases: readonly BaseBdev[]): Promise<Bdev> {
    const names: string[] = [];
    try {
      const spec = this.#specOf(module.name, made, names);
      checkBases(bases);
      if (this.finishing) throw new SpdkError('ESHUTDOWN', `bdev "${spec.name}": all bdevs are being removed`);
      const bdev = await this.#attach(spec, bases);
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
   * As `create`, for a disk on the disk `base`, which comes back with it until it is deleted. When there is no base yet, or it is still being made, the disk is made as
   * soon as it is examined, and a failure then goes to the log.
   * @param call what saves it while it waits; null: another one does
   * @returns its name
   */
  async createOn<M extends BdevModuleName>(
    base: string,
    moduleName: M,
    params: BdevParams<M> & { readonly name: string },
    call: BdevConfigCall | null,
  ): Promise<string> {
    const { name } = params;
    const present = this.isThere(base);
    if (!present && this.has(name)) throw new SpdkError('EEXIST', `bdev name "${name}" is taken`);
    const association = this.#associations.add(base, moduleName, params, call === null ? [] : [call]);
    if (!present) {
      bdevLog.info(`bdev "${name}" waits for its base "${base}"`);
      return name;
    }
    try {
      await this.#associate(association);
    } catch (error) {
      if (this.#associations.lasts(association)) this.#associations.delete(name);
      throw error;
    }
    return name;
  }

  /** Makes the disk of an association. */
  async #associate(association: Association): Promise<void> {
    association.busy = true;
    let bdev: Bdev;
    try {
      bdev = await this.create(association.moduleName, association.params);
    } finally {
      association.busy = false;
    }
    if (this.#associations.lasts(association)) association.bdev = bdev;
    else await this.#removeOnce(bdev);
  }

  /** A disk is there: makes what has waited for it. */
  #createWaiting(base: Bdev): void {
    for (const association of this.#associations.waiting(base)) {
      const log = (error: unknown) =>
        bdevLog.error(`bdev "${association.params.name}" on "${base.name}": ${explain(error)}`);
      this.#examiner.track(this.#associate(association).catch(log));
    }
  }

  /** What waits for its base; of the module, on the disk of that name or alias. */
  waitingOn(base: string, moduleName: string): string[] {
    const known = this.reactor.local(bdevManager).byName.get(base);
    return this.#associations
      .waiting()
      .filter((each) => each.moduleName === moduleName && (each.base === base || known?.isCalled(each.base)))
      .map(({ params }) => params.name);
  }

  /** Takes the names, which are added to `reserve`. @throws {SpdkError} EEXIST when one is taken; as `newSpec` */
  #specOf(moduleName: string, made: NewBdev, reserve: string[]): BdevSpec {
    const spec = newSpec(++this.#ids, moduleName, made, this.reactor.iobuf.largeBytes);
    for (const each of [spec.name, ...spec.aliases]) {
      if (this.has(each)) throw new SpdkError('EEXIST', `bdev name "${each}" is taken`);
      this.#reserved.add(each);
      reserve.push(each);
    }
    return spec;
  }

  #attach(spec: BdevSpec, bases: readonly BaseBdev[]): Promise<Bdev> {
    const attaching = this.#attachEverywhere(spec, bases).finally(() => this.#attaching.delete(spec.name));
    const ended = attaching.catch(() => {});
    this.#attaching.set(spec.name, ended);
    return attaching;
  }

  async #attachEverywhere(spec: BdevSpec, bases: readonly BaseBdev[]): Promise<Bdev> {
    await this.#reserve.cover(spec.level);
    try {
      await callAll(this.reactor, attachBdev, spec, spec.homeCore < 0 ? undefined : spec.homeCore);
      checkBases(bases);
      const bdev = this.reactor.local(bdevManager).byId.get(spec.id) as Bdev;
      bdev.shared.attached();
      return bdev;
    } catch (error) {
      await callAll(this.reactor, detachBdev, spec.id);
      throw error;
    }
  }

  /**
   * Removes a disk: its owners hear 'remove', and this resolves when they have closed it and it is gone. One that waits for its base does so no more.
   * @throws {SpdkError} ENODEV when there is none; when it is of another module than `moduleName`.
   */
  async delete(name: string, moduleName?: string): Promise<void> {
    const waits = this.#associations.get(name);
    const bdev = this.reactor.local(bdevManager).byName.get(name) ?? this.#leaving.get(name);
    const what = bdev ?? waits ?? this.get(name);
    if (moduleName !== undefined && what.moduleName !== moduleName) {
      throw new SpdkError('ENODEV', `bdev "${name}" is of module ${what.moduleName}, not ${moduleName}`);
    }
    if (bdev === undefined) {
      this.#associations.delete(name);
      return;
    }
    this.#associations.delete(bdev.name);
    return this.#removeOnce(bdev);
  }

  #removeOnce(bdev: Bdev): Promise<void> {
    const known = this.#removals.get(bdev.id);
    if (known !== undefined) return known;
    if (!this.#has(bdev)) return Promise.resolve();
    const removal = this.#remove(bdev).finally(() => this.#removals.delete(bdev.id));
    this.#removals.set(bdev.id, removal);
    return removal;
  }

  #has(bdev: Bdev): boolean {
    return this.reactor.local(bdevManager).byId.get(bdev.id) === bdev;
  }

  async #remove(bdev: Bdev): Promise<void> {
    bdev.shared.beginRemove();
    await this.#attaching.get(bdev.name);
    // Attaching it may have failed.
    if (!this.#has(bdev)) return;
    await callAll(this.reactor, removeBdev, bdev.id);
    await callAll(this.reactor, awaitBdevReleased, bdev.id);
    // Its names stay taken until all is given back: who hears that it has gone finds its bases free, and another can come under them.
    const names = this.reactor.local(bdevManager).namesOf(bdev);
    for (const name of names) this.#leaving.set(name, bdev);
    let waits: Association | null = null;
    try {
      try {
        await callAll(this.reactor, detachBdev, bdev.id);
      } finally {
        waits = this.#associations.gone(bdev);
        await bdevModule(bdev.moduleName).destroy(bdev.spec, this.reactor);
      }
    } finally {
      const { bases = [], owner = () => {} } = this.#bases.get(bdev.id) ?? {};
      this.#bases.delete(bdev.id);
      for (const base of bases) {
        base.owners.delete(owner);
        base.close();
      }
      for (const name of names) this.#leaving.delete(name);
      if (this.#told.delete(bdev)) this.onUnregister(bdev);
    }
    if (waits !== null) bdevLog.info(`bdev "${bdev.name}" waits for its base "${waits.base}"`);
  }

  /**
   * Gives a disk another size and tells its owners; one that not every core has gets it when they do. The module has already done its part.
   * @throws {SpdkError} ENODEV; EINVAL; EBUSY when it would shrink while somebody has it open.
   */
  async resize(name: string, blocks: number): Promise<void> {
    await this.#attaching.get(name);
    const bdev = this.get(name);
    if (!(blocks > 0 && Number.isSafeInteger(blocks * bdev.blockSizeBytes))) {
      throw new SpdkError('EINVAL', `bdev "${name}": ${blocks} blocks is no size`);
    }
    if (blocks < bdev.blocks && bdev.shared.descs > 0) {
      throw new SpdkError('EBUSY', `bdev "${name}" is open and cannot shrink from ${bdev.blocks} to ${blocks} blocks`);
    }
    await callAll(this.reactor, resizeBdev, { id: bdev.id, blocks });
    if (this.#told.has(bdev)) this.onResize(bdev);
  }

  /** What a disk stands on has another size, and so has the disk: `blocks`. When that cannot be, the log says so; one that has gone meanwhile needs none. */
  follow(name: string, blocks: number): void {
    this.resize(name, blocks).catch((error: unknown) => {
      if (this.isThere(name)) bdevLog.warn(`bdev "${name}" keeps its size: ${explain(error)}`);
    });
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
    checkLength(alias);
    if (this.has(alias)) throw new SpdkError('EEXIST', `bdev name "${alias}" is taken`);
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
    return collectStats(this.reactor, bdevs, reset);
  }

  /** Who looks at the disks that come, in this order. */
  get examineHooks(): ExamineHook[] {
    return this.#examiner.hooks;
  }

  /** One more, at the end, who is shown the disks too that have been examined already and that nobody has claimed. */
  addExamineHook(hook: ExamineHook): void {
    this.#examiner.add(hook, this.list());
  }

  removeExamineHook(hook: ExamineHook): void {
    this.#examiner.remove(hook);
  }

  /**
   * Has a disk examined, now and whenever it comes, where disks are not examined by themselves (SPDK: spdk_bdev_examine).
   * @throws {SpdkError} EINVAL when they are; EEXIST when that was asked for before
   */
  allowExamine(name: string): void {
    if (this.options.bdev_auto_examine) {
      throw new SpdkError('EINVAL', 'Manual examine is not allowed if auto examine is enabled');
    }
    this.#examiner.allow(name);
    const bdev = this.reactor.local(bdevManager).byName.get(name);
    if (bdev?.ready === true) void this.examine(bdev);
  }

  /** Makes what waits for a disk, then lets the hooks look at it until one of them has claimed it. */
  examine(bdev: Bdev): Promise<void> {
    return this.#examiner.examine(bdev);
  }

  /** Resolves when nothing is being examined. */
  waitForExamine(): Promise<void> {
    return this.#examiner.wait();
  }

  /** @throws {SpdkError} EINVAL when the pool is smaller than a cache, or larger than `limits.bdev_io_pool_size_max`; EBUSY when I/O buffers are in use and their caches would change. */
  async setOptions(options: Partial<BdevOptions>): Promise<void> {
    const next = { ...this.options, ...options };
    checkOptions(next);
    const { iobuf_small_cache_size: smallCache, iobuf_large_cache_size: largeCache } = next;
    if (smallCache !== this.options.iobuf_small_cache_size || largeCache !== this.options.iobuf_large_cache_size) {
      await this.setIoBufCaches({ smallCache, largeCache });
    }
    Object.assign(this.options, next);
    await callAll(this.reactor, setPoolOptions, { ios: next.bdev_io_pool_size, growBy: next.bdev_io_cache_size });
  }

  /** Calls that would make this state again. */
  configCalls(): BdevConfigCall[] {
    const calls: BdevConfigCall[] = [{ method: 'bdev_set_options', params: { ...this.options } }];
    for (const name of this.#examiner.names) calls.push({ method: 'bdev_examine', params: { name } });
    const keptBases = ({ id }: Bdev) => this.#bases.get(id)?.bases.map(({ bdev }) => bdev) ?? [];
    calls.push(...disksCalls(this.list(), keptBases, this.#isExamined, this.reactor));
    for (const waits of this.#associations.waiting()) calls.push(...waits.calls);
    if (calls.at(-1) !== WAIT_FOR_EXAMINE) calls.push(WAIT_FOR_EXAMINE);
    return calls;
  }
}

const registryKey = localKey('bdev_registry', (reactor) => new BdevRegistry(reactor));

/** The application's disks. App core only. @throws {SpdkError} EWRONGTHREAD */
export function bdevRegistry(reactor: Reactor): BdevRegistry {
  return reactor.local(registryKey);
}
