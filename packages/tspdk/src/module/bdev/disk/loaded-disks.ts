/** The disk files that are loaded on a reactor, by a number that is the same on all of them, and the control calls that load and unload them. Control path. */
import { SpdkError } from '../../../env/errors.ts';
import { defineControl } from '../../../event/control.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { log } from '../../../log/index.ts';
import { isBdevModule, type UserBdevModule } from './define-bdev-module.ts';
import type { Disk } from './define-disk.ts';
import type { DiskBackend } from './disk-backend.ts';
import { textOfThrown } from './io-status.ts';
import { type DiskOptions, loadDisk } from './load-disk.ts';

const diskLog = log.register('bdev_disk');

/** What the app core must know of a loaded disk. */
export interface DiskFacts {
  readonly kind: 'disk';
  readonly size: number;
  readonly blockSize: number;
  /** What a call may take, if the disk says so. */
  readonly timeoutMs: number | undefined;
  readonly has: { readonly write: boolean; readonly flush: boolean; readonly trim: boolean; readonly zero: boolean };
}

/** The file is a module with the whole contract: every reactor loads it. */
export interface ModuleFacts {
  readonly kind: 'module';
  readonly name: string;
}

interface LoadRequest {
  readonly token: number;
  readonly url: string;
  readonly options: DiskOptions;
}

/** A file that is loaded here. */
export interface Loaded {
  what: Disk | UserBdevModule;
  /** It was loaded here: a program's own is the program's to close until it is attached. */
  readonly ours: boolean;
  /** Of a disk that is attached here. */
  backend: DiskBackend | null;
  /** How often its file has been asked for again. */
  reloads: number;
  /** Settles when the versions that have been loaded so far are served. */
  turn: Promise<void>;
}

/** This reactor's, by token. Tokens are the app core's. */
const loaded = localKey('bdev_disks', () => ({ byToken: new Map<number, Loaded>(), tokens: 0 }));

export function newToken(reactor: Reactor): number {
  return ++reactor.local(loaded).tokens;
}

/** @param ours it was made for this disk, and goes with it */
export function keepLoaded(reactor: Reactor, token: number, what: Disk | UserBdevModule, ours = false): void {
  reactor.local(loaded).byToken.set(token, { what, ours, backend: null, reloads: 0, turn: Promise.resolve() });
}

/** @throws {SpdkError} ENOENT */
export function loadedHere(reactor: Reactor, token: number, name: string): Loaded {
  const found = reactor.local(loaded).byToken.get(token);
  if (found === undefined) throw new SpdkError('ENOENT', `disk "${name}" is not loaded on core ${reactor.core}`);
  return found;
}

export function factsOf(what: Disk | UserBdevModule): DiskFacts | ModuleFacts {
  if (isBdevModule(what)) return { kind: 'module', name: what.name };
  const has = (name: keyof Disk) => what[name] !== undefined;
  return {
    kind: 'disk',
    size: what.size,
    blockSize: what.blockSize,
    timeoutMs: what.timeoutMs,
    has: { write: has('write'), flush: has('flush'), trim: has('trim'), zero: has('zero') },
  };
}

export const load = defineControl('bdev.disk.load', async ({ token, url, options }: LoadRequest, reactor) => {
  const what = await loadDisk(url, options);
  keepLoaded(reactor, token, what, true);
  return factsOf(what);
});

export const unload = defineControl('bdev.disk.unload', async (token: number, reactor): Promise<void> => {
  const { byToken } = reactor.local(loaded);
  const place = byToken.get(token);
  byToken.delete(token);
  // One that was attached its backend has closed.
  if (place?.ours !== true || place.backend !== null || isBdevModule(place.what)) return;
  try {
    await place.what.close?.();
  } catch (error) {
    diskLog.error(`a disk that could not be made: close: ${textOfThrown(error)}`);
  }
});
