/**
 * Makes the disk that a command line names (disk-argument.ts), for the programs that take one: serve, perf.
 */
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bdevRegistry, faultRegistry, faultRule } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import type { App } from '../event/index.ts';
import { type DiskArgument, keyAndValue } from './disk-argument.ts';

/** The disk, and how to open it. */
export interface DiskOptions {
  readonly disk: DiskArgument;
  /** A file is opened for reading only. */
  readonly readOnly: boolean;
  /** Bytes of a block; default 512, or what the device has. */
  readonly blockBytes: number | undefined;
  /** Bypass the page cache of a file, where possible. */
  readonly direct: boolean;
  /** Fault rules, beyond those that the disk's name has. */
  readonly faults?: readonly string[];
  /** For a module, beyond what its name has. */
  readonly options?: Readonly<Record<string, string>>;
}

/** What `--fault RULE` and `--option KEY=VALUE` say. @throws {SpdkError} EINVAL naming what is wrong with which */
export function diskWords(extra: ReadonlyMap<string, readonly string[]>): Pick<DiskOptions, 'faults' | 'options'> {
  const faults = extra.get('fault') ?? [];
  for (const rule of faults) faultRule(rule);
  const options = Object.fromEntries((extra.get('option') ?? []).map((word) => keyAndValue('--option', word)));
  return { faults, options };
}

/**
 * Makes the disk; returns its bdev's name and what to call it.
 * @throws {SpdkError} EINVAL when the size is no multiple of the block size; what the kind of disk throws.
 */
export async function createDisk(app: App, options: DiskOptions): Promise<{ bdevName: string; what: string }> {
  const words = Object.keys(options.options ?? {});
  if (options.disk.kind !== 'module' && words.length > 0) {
    throw new SpdkError('EINVAL', `--option ${words[0]}: only a disk that is a module takes options`);
  }
  const made = await makeDisk(app, options);
  const faults = [...(options.disk.faults ?? []), ...(options.faults ?? [])];
  // What looks at a new disk is not what the rules are for.
  if (faults.length > 0) await bdevRegistry(app.reactor).waitForExamine();
  for (const rule of faults) await faultRegistry(app.reactor).add(made.bdevName, rule);
  return made;
}

async function makeDisk(app: App, options: DiskOptions): Promise<{ bdevName: string; what: string }> {
  const { disk, readOnly, blockBytes } = options;
  const registry = bdevRegistry(app.reactor);
  if (disk.kind === 'memory' || disk.kind === 'null') {
    const block_size = blockBytes ?? 512;
    const num_blocks = disk.sizeBytes / block_size;
    if (!Number.isInteger(num_blocks)) {
      throw new SpdkError('EINVAL', `${disk.sizeBytes} bytes are not a multiple of the block size ${block_size}`);
    }
    if (disk.kind === 'memory') {
      const bdev = await registry.create('malloc', { block_size, num_blocks });
      return { bdevName: bdev.name, what: `${disk.sizeBytes} bytes of memory` };
    }
    const bdev = await registry.create('null', { name: registry.freeName('Null'), block_size, num_blocks });
    return { bdevName: bdev.name, what: `${disk.sizeBytes} bytes that are not kept` };
  }
  const name = basename(disk.path);
  if (disk.kind === 'file') {
    const filename = resolve(disk.path);
    const params = { name, filename, readonly: readOnly, direct: options.direct, block_size: blockBytes };
    const bdev = await registry.create('uring', params);
    return { bdevName: bdev.name, what: filename };
  }
  const bdev = await registry.create('disk', {
    name,
    module: pathToFileURL(resolve(disk.path)).href,
    options: { ...disk.options, ...options.options },
  });
  return { bdevName: bdev.name, what: `what ${disk.path} defines` };
}
