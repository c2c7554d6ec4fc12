/**
 * The module of users' disks. A disk (`defineDisk`) is loaded on its home core, where every other core's I/O is carried (bdev/carry.ts); a module of its own
 * (`defineBdevModule`) is loaded on every reactor, and each runs its part.
 */
import type { BaseBdev } from '../../../bdev/base-bdev.ts';
import { callAll } from '../../../bdev/call-all.ts';
import {
  type Bdev,
  type BdevModule,
  type BdevSpec,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  type NewBdev,
  registerBdevModule,
  WAIT_FOR_EXAMINE,
} from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import { limits } from '../../../env/limits.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { type ModuleDisk, newBdevOf, type UserBdevModule } from './define-bdev-module.ts';
import { type Disk, isDisk } from './define-disk.ts';
import { DiskBackend } from './disk-backend.ts';
import { messageOfThrown } from './io-status.ts';
import { type DiskOptions, moduleUrl } from './load-disk.ts';
import { type DiskFacts, factsOf, keepLoaded, load, loadedHere, newToken, unload } from './loaded-disks.ts';
import { UserModuleBackend } from './module-backend.ts';

export interface DiskBdevParams {
  readonly name: string;
  /** Path or file URL of the disk module; or `disk`. */
  readonly module?: string | undefined;
  /** A disk of this very program; it lives on the app core. */
  readonly disk?: Disk | undefined;
  readonly uuid?: string | undefined;
  /** Time that a call may take, ms. Default: what the disk says, or `limits.bdev_disk_timeout_ms`. */
  readonly timeout_ms?: number | undefined;
  /** Where it runs. Default: the last core, which leaves the app core to control. */
  readonly core?: number | undefined;
  /** For the file: what its exported function, or its `options` and `create`, are given. */
  readonly options?: DiskOptions | undefined;
}

/** A disk that its module has found on another. */
export interface FoundDiskParams extends DiskBdevParams {
  readonly found: FoundOn;
}

export interface FoundOn {
  readonly base: Bdev;
  /** For `create`; `options` of the disk are then for an exported function alone. */
  readonly options: unknown;
}

/** What crosses to every reactor. */
export interface DiskData {
  readonly kind: 'disk' | 'module';
  /** Names the loaded file on its core, or on all. */
  readonly token: number;
  readonly core: number;
  readonly url: string;
  readonly timeoutMs: number;
  readonly options: DiskOptions;
  /** It was found on another disk, and is again. */
  readonly found: boolean;
  /** Of a module: its own data. */
  readonly theirs?: unknown;
}

async function create(params: DiskBdevParams | FoundDiskParams, reactor: Reactor): Promise<NewBdev> {
  const { name, module, disk, options = {} } = params;
  if ((module === undefined) === (disk === undefined)) {
    throw new SpdkError('EINVAL', `disk "${name}": either a module or a disk`);
  }
  if (disk !== undefined && !isDisk(disk)) throw new SpdkError('EINVAL', `disk "${name}": use defineDisk({ ... })`);
  const { timeout_ms } = params;
  if (timeout_ms !== undefined && !(timeout_ms > 0)) {
    throw new SpdkError('EINVAL', `disk "${name}": timeout_ms is ${timeout_ms}; it is at least 1`);
  }
  const core = disk !== undefined ? reactor.core : (params.core ?? (reactor.cores.at(-1) as number));
  if (!reactor.cores.includes(core)) {
    throw new SpdkError('EINVAL', `disk "${name}": no reactor on core ${core}: cores are ${reactor.cores.join(',')}`);
  }
  const token = newToken(reactor);
  const url = module === undefined ? '' : moduleUrl(module);
  const timeoutMs = timeout_ms ?? 0;
  const found = 'found' in params ? params.found : null;
  const data: DiskData = { kind: 'disk', token, core, url, timeoutMs, options, found: found !== null };
  if (disk !== undefined) {
    keepLoaded(reactor, token, disk);
    return newDisk(name, params.uuid, factsOf(disk) as DiskFacts, data);
  }
  const facts = await reactor.app.call(core, load, { token, url, options });
  if (facts.kind === 'disk' && found === null) return newDisk(name, params.uuid, facts, data);
  try {
    if (facts.kind === 'disk')
      throw new SpdkError('EINVAL', `disk "${name}": "${url}" exports a disk by now, no module`);
    for (const other of reactor.cores) {
      if (other !== core) await reactor.app.call(other, load, { token, url, options });
    }
    return await newModuleBdev(name, params.uuid, { ...data, kind: 'module' }, found, reactor);
  } catch (error) {
    await callAll(reactor, unload, token);
    throw error;
  }
}

function newDisk(name: string, uuid: string | undefined, facts: DiskFacts, given: DiskData): NewBdev {
  const timeoutMs = given.timeoutMs || facts.timeoutMs || limits.bdev_disk_timeout_ms;
  const data: DiskData = { ...given, timeoutMs };
  return {
    name,
    uuid,
    productName: 'User disk',
    blockSizeBytes: facts.blockSize,
    blocks: facts.size / facts.blockSize,
    writable: facts.has.write,
    // Without a flush nothing is volatile, but a later version of the file may have one.
    volatileCache: facts.has.flush || (facts.has.write && data.url !== ''),
    homeCore: data.core,
    ioTypes: typesOf(facts),
    data,
  };
}

function typesOf({ has }: DiskFacts): number {
  let types = 1 << IO_READ;
  if (has.write) types |= (1 << IO_WRITE) | (1 << IO_FLUSH);
  if (has.trim) types |= 1 << IO_UNMAP;
  if (has.zero) types |= 1 << IO_WRITE_ZEROES;
  return types;
}

async function newModuleBdev(
  name: string,
  uuid: string | undefined,
  data: DiskData,
  found: FoundOn | null,
  reactor: Reactor,
): Promise<NewBdev> {
  const module = loadedHere(reactor, data.token, name).what as UserBdevModule;
  const options = optionsOf(module, data.options, found);
  const made = await module.create({ name, options }, reactor);
  try {
    const bdev = newBdevOf(module.name, name, made);
    if (found !== null) checkStandsOn(found.base, `bdev "${name}" of module "${module.name}"`, bdev.bases);
    let theirs: unknown;
    try {
      theirs = structuredClone(made.data);
    } catch (cause) {
      const what = `its data does not cross to other reactors: ${(cause as Error).message}`;
      throw new SpdkError('EINVAL', `bdev "${name}" of module "${module.name}": ${what}`, { cause });
    }
    return { ...bdev, uuid: uuid ?? bdev.uuid, productName: module.name, data: { ...data, theirs } satisfies DiskData };
  } catch (error) {
    for (const base of made?.bases ?? []) base.close();
    await module.destroy?.({ name, data: made?.data }, reactor);
    throw error;
  }
}

function optionsOf(module: UserBdevModule, said: DiskOptions, found: FoundOn | null): unknown {
  if (found !== null) return found.options;
  return module.options === undefined ? said : module.options(said);
}

/** @throws {SpdkError} EINVAL when `bases` are without `base`: nothing would keep others from it, nor end the disk with it */
function checkStandsOn(base: Bdev, what: string, bases: readonly BaseBdev[] = []): void {
  if (bases.some(({ bdev }) => bdev === base)) return;
  const names = bases.map(({ bdev }) => `"${bdev.name}"`).join(', ') || 'none';
  throw new SpdkError('EINVAL', `${what}: it was found on bdev "${base.name}", and its bases are ${names}`);
}

/** The disk as its module's functions know it. */
function theirSpec(spec: BdevSpec): BdevSpec {
  return { ...spec, data: (spec.data as DiskData).theirs };
}

/** What a module says of its disk. One that throws does not keep others from being listed. */
function infoOf(module: UserBdevModule, disk: ModuleDisk<unknown>, reactor: Reactor): Record<string, unknown> {
  if (module.dumpInfo === undefined) return {};
  try {
    return { [module.name]: module.dumpInfo(disk, reactor) };
  } catch (error) {
    return { [module.name]: { error: messageOfThrown(error) } };
  }
}

export const diskModule: BdevModule<DiskBdevParams> = registerBdevModule<DiskBdevParams>({
  name: 'disk',
  create,

  async attach(spec: BdevSpec, reactor: Reactor) {
    const { kind, token, timeoutMs } = spec.data as DiskData;
    const place = loadedHere(reactor, token, spec.name);
    if (kind === 'module') {
      const module = place.what as UserBdevModule;
      return new UserModuleBackend(spec, module.name, await module.attach(theirSpec(spec), reactor));
    }
    place.backend = new DiskBackend({ name: spec.name, disk: place.what as Disk, timeoutMs, reactor });
    return place.backend;
  },

  async made(bdev: Bdev, reactor: Reactor) {
    const { kind, token } = bdev.spec.data as DiskData;
    if (kind === 'module') await (loadedHere(reactor, token, bdev.name).what as UserBdevModule).made?.(bdev, reactor);
  },

  async destroy(spec: Pick<BdevSpec, 'name' | 'data'>, reactor: Reactor) {
    const { kind, token, core, theirs } = spec.data as DiskData;
    if (kind === 'disk') {
      await reactor.app.call(core, unload, token);
      return;
    }
    const module = loadedHere(reactor, token, spec.name).what as UserBdevModule;
    try {
      await module.destroy?.({ name: spec.name, data: theirs }, reactor);
    } finally {
      await callAll(reactor, unload, token);
    }
  },

  dumpInfo(spec: BdevSpec, reactor: Reactor) {
    const { url, core, timeoutMs, kind, token, theirs } = spec.data as DiskData;
    if (kind === 'disk') return { disk: { module: url, core, timeout_ms: timeoutMs } };
    const module = loadedHere(reactor, token, spec.name).what as UserBdevModule;
    return { disk: { module: url }, ...infoOf(module, { name: spec.name, data: theirs }, reactor) };
  },

  configCalls: (spec: BdevSpec) => {
    const { url, core, timeoutMs, kind, options, found } = spec.data as DiskData;
    // A disk that lives in the program's own objects cannot be made by a call, and what was found comes by itself.
    if (found) return [WAIT_FOR_EXAMINE];
    if (url === '') return [];
    const more = Object.keys(options).length === 0 ? {} : { options };
    const place = kind === 'disk' ? { core, timeout_ms: timeoutMs } : {};
    return [
      { method: 'bdev_disk_create', params: { name: spec.name, module: url, uuid: spec.uuid, ...place, ...more } },
    ];
  },
});
