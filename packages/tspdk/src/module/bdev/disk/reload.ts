/**
 * A disk's file again, while clients use the disk: what has begun ends with the old code, what comes meanwhile waits, and goes to the new code.
 *
 * What is new must fit what clients were told: the same block size, everything that the old one could do, and a size that is not smaller while somebody has it open. Else,
 * and when the new file does not load, the old code goes on.
 */
import { bdevRegistry } from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import { defineControl } from '../../../event/control.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { isBdevModule, type UserBdevModule } from './define-bdev-module.ts';
import type { Disk } from './define-disk.ts';
import type { DiskBackend } from './disk-backend.ts';
import type { DiskData } from './disk-bdev.ts';
import { type DiskOptions, loadDisk } from './load-disk.ts';
import { type DiskFacts, factsOf, type Loaded, loadedHere } from './loaded-disks.ts';

interface ReloadRequest {
  readonly token: number;
  readonly name: string;
  readonly url: string;
  readonly options: DiskOptions;
}

/** On the app core. @throws {SpdkError} EBUSY when it would shrink and somebody has it open */
const resize = defineControl('bdev.disk.resize', ({ name, blocks }: { name: string; blocks: number }, reactor) =>
  bdevRegistry(reactor).resize(name, blocks),
);

/** On the home core. Answers what the new one is. */
const reload = defineControl('bdev.disk.reload', async (request: ReloadRequest, reactor): Promise<DiskFacts> => {
  const { token, name, url, options } = request;
  const place = loadedHere(reactor, token, name);
  const { backend } = place;
  if (backend === null) throw new SpdkError('ENODEV', `disk "${name}" is not attached`);
  const nth = ++place.reloads;
  const next = await loadDisk(url, options);
  const served = place.turn.then(() => serve(next, nth, name, place, backend));
  place.turn = served.catch(() => {});
  await served;
  return factsOf(next) as DiskFacts;
});

/** Versions are served one after the other. One that a newer was asked for after, while it was loading, is not: it may have taken for ever, and come after that. */
async function serve(
  next: Disk | UserBdevModule,
  nth: number,
  name: string,
  place: Loaded,
  backend: DiskBackend,
): Promise<void> {
  if (isBdevModule(next)) throw new SpdkError('ENOTSUP', `disk "${name}": the file exports a bdev module now`);
  const { app } = backend.reactor;
  const grown = next.size - backend.disk.size;
  const resized = () => app.call(app.mainCore, resize, { name, blocks: next.size / next.blockSize });
  const checkThere = (): void => {
    if (backend.closed) throw new SpdkError('ENODEV', `disk "${name}" has gone meanwhile`);
  };
  try {
    checkThere();
    if (nth !== place.reloads) {
      throw new SpdkError('ECANCELED', `disk "${name}": a newer version of its file was asked for meanwhile`);
    }
    checkFits(name, backend.disk, next);
    // First it is smaller, for whoever opens it from now on, and then it has the code for that.
    if (grown < 0) {
      await resized();
      checkThere();
    }
  } catch (error) {
    await backend.letGo(next);
    throw error;
  }
  place.what = next;
  const old = await backend.replace(next);
  try {
    if (grown > 0) await resized();
  } finally {
    await backend.letGo(old);
  }
}

/** @throws {SpdkError} EINVAL saying what does not fit */
function checkFits(name: string, old: Disk, next: Disk): void {
  const refuse = (what: string) => new SpdkError('EINVAL', `disk "${name}" stays as it was: ${what}`);
  if (next.blockSize !== old.blockSize) {
    throw refuse(`blockSize ${next.blockSize} where clients know ${old.blockSize}; start it anew for that`);
  }
  for (const key of ['write', 'trim', 'zero'] as const) {
    if (old[key] !== undefined && next[key] === undefined)
      throw refuse(`it has no ${key} any more; clients count on it`);
  }
}

/** What of the disk says where its file is. @throws {SpdkError} ENODEV; ENOTSUP for a disk that has no file, or is a module */
export function reloadable(reactor: Reactor, name: string): DiskData {
  const bdev = bdevRegistry(reactor).get(name);
  if (bdev.moduleName !== 'disk') {
    throw new SpdkError('ENOTSUP', `bdev "${name}" is of module ${bdev.moduleName}: only disk files are reloaded`);
  }
  const data = bdev.spec.data as DiskData;
  if (data.url === '') throw new SpdkError('ENOTSUP', `disk "${name}" was made by the program itself: it has no file`);
  if (data.kind !== 'disk') {
    throw new SpdkError(
      'ENOTSUP',
      `disk "${name}" is a bdev module, which every reactor has loaded: it is not reloaded`,
    );
  }
  return data;
}

/**
 * Loads the file of the disk `name` again. App core only.
 * @returns its size in bytes
 * @throws {SpdkError} ENODEV; ENOTSUP for a disk without a file; ECANCELED when it was asked for again before the file had loaded; EBUSY when it is open and would shrink; EINVAL what is wrong with the new version, with the user's own stack; the old one then goes on
 */
export async function reloadDisk(reactor: Reactor, name: string): Promise<number> {
  const { url, token, options, core } = reloadable(reactor, name);
  return (await reactor.app.call(core, reload, { token, name, url, options })).size;
}
