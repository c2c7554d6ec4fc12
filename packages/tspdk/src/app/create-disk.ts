/**
 * Makes the disk that a command line names (disk-argument.ts), for the programs that take one: serve, perf.
 */
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bdevRegistry } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import type { App } from '../event/index.ts';
import type { DiskArgument } from './disk-argument.ts';

/** The disk, and how to open it. */
export interface DiskOptions {
  readonly disk: DiskArgument;
  /** A file is opened for reading only. */
  readonly readOnly: boolean;
  /** Bytes of a block; default 512, or what the device has. */
  readonly blockBytes: number | undefined;
  /** Bypass the page cache of a file, where possible. */
  readonly direct: boolean;
}

/**
 * Makes the disk; returns its bdev's name and what to call it.
 * @throws {SpdkError} EINVAL when the size is no multiple of the block size; what the kind of disk throws.
 */
export async function createDisk(app: App, options: DiskOptions): Promise<{ bdevName: string; what: string }> {
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
  const bdev = await registry.create('disk', { name, module: pathToFileURL(resolve(disk.path)).href });
  return { bdevName: bdev.name, what: `what ${disk.path} defines` };
}
