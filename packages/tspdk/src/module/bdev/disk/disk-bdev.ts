/**
 * The module of users' disks: loads a disk on its home core and makes a bdev of it. Every other core's I/O is carried there (bdev/carry.ts).
 */
import { pathToFileURL } from 'node:url';
import {
  type BdevModule,
  type BdevSpec,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  type NewBdev,
  registerBdevModule,
} from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import { limits } from '../../../env/limits.ts';
import { defineControl } from '../../../event/control.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { type Disk, isDisk } from './define-disk.ts';
import { DiskBackend } from './disk-backend.ts';
import { loadDisk } from './load-disk.ts';

export interface DiskBdevParams {
  readonly name: string;
  /** Path or file URL of the disk module; or `disk`. */
  readonly module?: string | undefined;
  /** A disk of this very program; it lives on the app core. */
  readonly disk?: Disk | undefined;
  readonly uuid?: string | undefined;
  /** Time that a call may take, ms. Default `limits.bdev_disk_timeout_ms`. */
  readonly timeout_ms?: number | undefined;
  /** Where it runs. Default: the last core, which leaves the app core to control. */
  readonly core?: number | undefined;
}

interface DiskData {
  /** Names the loaded disk on its home core. */
  readonly token: number;
  readonly core: number;
  readonly url: string;
  readonly timeoutMs: number;
}

/** What the app core must know of a loaded disk. */
interface DiskFacts {
  readonly size: number;
  readonly blockSize: number;
  readonly has: { readonly write: boolean; readonly flush: boolean; readonly trim: boolean; readonly zero: boolean };
}

/** Disks loaded on this reactor, by token. */
const loaded = localKey('bdev_disks', () => ({ byToken: new Map<number, Disk>(), tokens: 0 }));

function factsOf(disk: Disk): DiskFacts {
  const has = (name: keyof Disk) => disk[name] !== undefined;
  return {
    size: disk.size,
    blockSize: disk.blockSize,
    has: { write: has('write'), flush: has('flush'), trim: has('trim'), zero: has('zero') },
  };
}

const load = defineControl('bdev.disk.load', async (payload: { token: number; url: string }, reactor) => {
  const disk = await loadDisk(payload.url);
  reactor.local(loaded).byToken.set(payload.token, disk);
  return factsOf(disk);
});

const unload = defineControl('bdev.disk.unload', (token: number, reactor): void => {
  reactor.local(loaded).byToken.delete(token);
});

async function create(params: DiskBdevParams, reactor: Reactor): Promise<NewBdev> {
  const { name, module, disk } = params;
  if ((module === undefined) === (disk === undefined)) {
    throw new SpdkError('EINVAL', `disk "${name}": either a module or a disk`);
  }
  if (disk !== undefined && !isDisk(disk)) throw new SpdkError('EINVAL', `disk "${name}": use defineDisk({ ... })`);
  const timeoutMs = params.timeout_ms ?? limits.bdev_disk_timeout_ms;
  if (!(timeoutMs > 0)) throw new SpdkError('EINVAL', `disk "${name}": timeout of ${timeoutMs} ms`);
  const core = disk !== undefined ? reactor.core : (params.core ?? (reactor.cores.at(-1) as number));
  if (!reactor.cores.includes(core)) {
    throw new SpdkError('EINVAL', `disk "${name}": no reactor on core ${core}: cores are ${reactor.cores.join(',')}`);
  }
  const token = ++reactor.local(loaded).tokens;
  const url = module === undefined ? '' : module.startsWith('file:') ? module : pathToFileURL(module).href;
  let facts: DiskFacts;
  if (disk !== undefined) {
    reactor.local(loaded).byToken.set(token, disk);
    facts = factsOf(disk);
  } else {
    facts = await reactor.app.call(core, load, { token, url });
  }
  const data: DiskData = { token, core, url, timeoutMs };
  return {
    name,
    uuid: params.uuid,
    productName: 'User disk',
    blockSizeBytes: facts.blockSize,
    blocks: facts.size / facts.blockSize,
    writable: facts.has.write,
    volatileCache: facts.has.flush,
    homeCore: core,
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

export const diskModule: BdevModule<DiskBdevParams> = registerBdevModule<DiskBdevParams>({
  name: 'disk',
  create,

  attach(spec: BdevSpec, reactor: Reactor) {
    const { token, timeoutMs } = spec.data as DiskData;
    const disk = reactor.local(loaded).byToken.get(token);
    if (disk === undefined) throw new SpdkError('ENOENT', `disk "${spec.name}" is not loaded on core ${reactor.core}`);
    return new DiskBackend({ name: spec.name, disk, timeoutMs, reactor });
  },

  async destroy(spec: Pick<BdevSpec, 'name' | 'data'>, reactor: Reactor) {
    const { token, core } = spec.data as DiskData;
    await reactor.app.call(core, unload, token);
  },

  dumpInfo: (spec: BdevSpec) => {
    const { url, core, timeoutMs } = spec.data as DiskData;
    return { disk: { module: url, core, timeout_ms: timeoutMs } };
  },

  configCalls: (spec: BdevSpec) => {
    const { url, core, timeoutMs } = spec.data as DiskData;
    // A disk that lives in the program's own objects cannot be made by a call.
    if (url === '') return [];
    return [
      {
        method: 'bdev_disk_create',
        params: { name: spec.name, module: url, uuid: spec.uuid, core, timeout_ms: timeoutMs },
      },
    ];
  },
});
