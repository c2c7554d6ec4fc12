/**
 * The users' modules that look at the disks which come (`examine` of `defineBdevModule`). What they find may be the first disk of theirs, so they are loaded by themselves, on the app
 * core alone. What they make is a disk of their file as any other, with an instance of its own on every core. Control path, app core.
 */
import { type Bdev, type BdevConfigCall, BdevDesc, bdevRegistry, type ExamineHook } from '../../../bdev/index.ts';
import { readBytes } from '../../../bdev/read-bytes.ts';
import { isGone, SpdkError } from '../../../env/errors.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { log } from '../../../log/index.ts';
import { type ExaminedDisk, isBdevModule, type UserBdevModule } from './define-bdev-module.ts';
import type { DiskData, FoundDiskParams } from './disk-bdev.ts';
import { textOfThrown } from './io-status.ts';
import { type DiskOptions, loadDisk, moduleUrl } from './load-disk.ts';

const diskLog = log.register('bdev_disk');

interface ExaminingModule {
  readonly options: DiskOptions;
  /** Null while the file loads. */
  hook: ExamineHook | null;
}

/** By file URL. */
const examining = localKey('bdev_disk_examining', () => new Map<string, ExaminingModule>());

/**
 * Loads a file with a module that has `examine`, and has it look at every disk that comes, and at those that are there, have been examined and are nobody's. App core only.
 * `waitForExamine()` of the registry resolves when it has.
 * @param module its path or file URL
 * @param options for the function that the file exports, if it exports one
 * @throws {SpdkError} EEXIST when it is loaded already; EINVAL when it has no `examine`, or throws, with its own stack; ENOTSUP when this Node cannot run it
 */
export async function loadBdevModule(reactor: Reactor, module: string, options: DiskOptions = {}): Promise<void> {
  const bdevs = bdevRegistry(reactor);
  const modules = reactor.local(examining);
  const url = moduleUrl(module);
  if (modules.has(url)) throw new SpdkError('EEXIST', `bdev module "${module}" is loaded already`);
  const entry: ExaminingModule = { options, hook: null };
  modules.set(url, entry);
  try {
    const loaded = await loadDisk(url, options);
    if (!isBdevModule(loaded) || loaded.examine === undefined) {
      throw new SpdkError(
        'EINVAL',
        `bdev module "${module}" has no examine: it is loaded by the disks that are made of it`,
      );
    }
    entry.hook = (bdev) => examineWith(loaded, url, options, bdev);
  } catch (error) {
    modules.delete(url);
    throw error;
  }
  bdevs.addExamineHook(entry.hook);
}

/**
 * Has a module look at disks no more. The disks that it has made stay. Loaded again it is what the file then is. App core only.
 * @throws {SpdkError} ENOENT when it is not loaded
 */
export function unloadBdevModule(reactor: Reactor, module: string): void {
  const modules = reactor.local(examining);
  const url = moduleUrl(module);
  const hook = modules.get(url)?.hook ?? null;
  if (hook === null) throw new SpdkError('ENOENT', `bdev module "${module}" is not loaded`);
  bdevRegistry(reactor).removeExamineHook(hook);
  modules.delete(url);
}

/** Calls that load them again. */
export function bdevModuleConfigCalls(reactor: Reactor): BdevConfigCall[] {
  return [...reactor.local(examining)].map(([module, { options }]) => {
    const more = Object.keys(options).length === 0 ? {} : { options };
    return { method: 'bdev_disk_load_module', params: { module, ...more } };
  });
}

/** What is wrong goes to the log, and ends nothing. */
async function examineWith(module: UserBdevModule, url: string, options: DiskOptions, bdev: Bdev): Promise<void> {
  if (bdev.moduleName === 'disk' && (bdev.spec.data as DiskData).url === url) return;
  const { reactor } = bdev.manager;
  const disk: ExaminedDisk<unknown> = {
    bdev,
    read: (byteOffset, bytes) => read(bdev, byteOffset, bytes),
    create: ({ name, uuid, options: theirs }) => {
      const found = { base: bdev, options: theirs };
      const params: FoundDiskParams = { name, uuid, module: url, options, found };
      return bdevRegistry(reactor).create('disk', params);
    },
  };
  try {
    await module.examine?.(disk, reactor);
  } catch (error) {
    // It may be going.
    if (!bdev.ready || isGone(error)) return;
    diskLog.error(`module "${module.name}": examine of bdev "${bdev.name}": ${textOfThrown(error)}`);
  }
}

/** Any bytes: the whole blocks around them are read. */
async function read(bdev: Bdev, byteOffset: number, bytes: number): Promise<Uint8Array> {
  const { name, sizeBytes, blockSizeBytes } = bdev;
  const whole = Number.isSafeInteger(byteOffset) && Number.isSafeInteger(bytes);
  if (!(whole && byteOffset >= 0 && bytes >= 0 && byteOffset + bytes <= sizeBytes)) {
    throw new SpdkError('EINVAL', `bdev "${name}": ${bytes} bytes at ${byteOffset} to read; it has ${sizeBytes}`);
  }
  const before = byteOffset % blockSizeBytes;
  const blocks = Math.ceil((before + bytes) / blockSizeBytes);
  const desc = BdevDesc.open(name, { write: false, reactor: bdev.manager.reactor, onEvent: () => {} });
  try {
    const around = await readBytes(desc, byteOffset - before, blocks * blockSizeBytes);
    return around.subarray(before, before + bytes);
  } finally {
    desc.close();
  }
}
