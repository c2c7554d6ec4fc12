/**
 * A disk in a file or on a block device. SPDK's modules `aio` and `uring` are both this one: data goes through the reactor's io_uring where there is
 * one, else through Node's fs; what it is called only decides the names in RPC answers.
 *
 * What is on stable storage, and when: a completed write is in the kernel's page cache (with `direct`, at the device, perhaps in its
 * cache) and survives the end of this process, not the end of the machine. A flush is one fdatasync of the file: when it completes, all writes that had
 * completed on any reactor before it was submitted are on stable storage. A write or write-zeroes with FUA completes after its own
 * data is (RWF_DSYNC, or fdatasync behind it). The disk therefore says that it has a volatile cache.
 */
import { closeSync } from 'node:fs';
import {
  type BdevBackend,
  type BdevModule,
  type BdevSpec,
  bdevRegistry,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
  type NewBdev,
  registerBdevModule,
} from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { type FileData, fileLog, memoryText } from './file-data.ts';
import { fileSize, openFile } from './file-probe.ts';
import { NodeFileBackend } from './node-file.ts';
import { UringFileBackend } from './uring-file.ts';

export interface FileBdevParams {
  readonly name: string;
  readonly filename: string;
  /** Default: the device's; 512 for a file. */
  readonly block_size?: number | undefined;
  readonly readonly?: boolean | undefined;
  /** Unmap and zero by fallocate. Default true: it is io_uring's work here, and blocks no reactor as SPDK's does. */
  readonly fallocate?: boolean | undefined;
  readonly uuid?: string | undefined;
  /** Bypass the page cache where possible. 'try': without a word where not, and not at the cost of the block size (as SPDK's methods). Default false. */
  readonly direct?: boolean | 'try' | undefined;
}

export type FileModuleName = 'aio' | 'uring';

const PRODUCT = { aio: 'AIO disk', uring: 'URING bdev' } as const;

/** Whether O_DIRECT is possible with the blocks that the disk has without it. `blockSize`: what is asked for, 0: nothing. */
export function directFits(
  blockSize: number,
  file: { readonly deviceBlockBytes: number; readonly alignBytes: number },
): boolean {
  return (blockSize || file.deviceBlockBytes || 512) >= file.alignBytes;
}

function openFor({ filename, direct = false, block_size = 0 }: FileBdevParams, readonly: boolean, reactor: Reactor) {
  const file = openFile({ filename, readonly, direct: direct !== false && reactor.ring !== null });
  if (direct !== 'try' || directFits(block_size, file)) return file;
  closeSync(file.fd);
  return openFile({ filename, readonly, direct: false });
}

function create(moduleName: FileModuleName, params: FileBdevParams, reactor: Reactor): NewBdev {
  const { name, filename } = params;
  const readonly = params.readonly ?? false;
  const file = openFor(params, readonly, reactor);
  try {
    if ((params.direct ?? false) !== false && !file.direct) {
      const text = `bdev "${name}": "${filename}" is used through the page cache; O_DIRECT is not possible`;
      if (params.direct === true) fileLog.notice(text);
      else fileLog.info(text);
    }
    const smallest = Math.max(file.deviceBlockBytes, file.direct ? file.alignBytes : 0, 512);
    const blockSize = params.block_size || smallest;
    if (blockSize < smallest) {
      throw new SpdkError(
        'EINVAL',
        `bdev "${name}": block size ${blockSize} is smaller than the ${smallest} of "${filename}"`,
      );
    }
    if ((blockSize & (blockSize - 1)) !== 0) {
      throw new SpdkError('EINVAL', `bdev "${name}": block size ${blockSize} is not a power of two`);
    }
    const blocks = Math.floor(file.sizeBytes / blockSize);
    if (blocks === 0) {
      throw new SpdkError(
        'EINVAL',
        `bdev "${name}": "${filename}" has ${file.sizeBytes} bytes, less than a block of ${blockSize}`,
      );
    }
    if (file.sizeBytes % blockSize !== 0) {
      fileLog.warn(`bdev "${name}": the last ${file.sizeBytes % blockSize} bytes of "${filename}" are not part of it`);
    }
    const data: FileData = {
      filename,
      fd: file.fd,
      blockSizeBytes: blockSize,
      readonly,
      fallocate: params.fallocate ?? true,
      direct: file.direct,
      alignBytes: file.alignBytes,
      blockSizeOverride: params.block_size !== undefined && params.block_size !== 0,
      memory: new SharedArrayBuffer(4),
    };
    return {
      name,
      uuid: params.uuid,
      productName: PRODUCT[moduleName],
      blockSizeBytes: blockSize,
      blocks,
      writable: !readonly,
      volatileCache: !readonly,
      limits: { requiredAlignmentBytes: file.alignBytes },
      ioTypes: readonly ? ioTypes(IO_READ, IO_FLUSH) : ioTypes(IO_READ, IO_WRITE, IO_FLUSH, IO_UNMAP, IO_WRITE_ZEROES),
      data,
    };
  } catch (error) {
    closeSync(file.fd);
    throw error;
  }
}

function attach(spec: BdevSpec, reactor: Reactor): BdevBackend {
  const data = spec.data as FileData;
  if (reactor.ring !== null) return new UringFileBackend(spec.name, data, reactor, reactor.ring);
  return new NodeFileBackend(data, reactor);
}

function makeModule(name: FileModuleName): BdevModule<FileBdevParams> {
  return {
    name,
    create: (params, reactor) => create(name, params, reactor),
    attach,
    destroy: (spec) => closeSync((spec.data as FileData).fd),
    dumpInfo: (spec) => {
      const data = spec.data as FileData;
      const { filename, readonly, fallocate, blockSizeOverride, direct } = data;
      const more = direct ? { direct, io_memory: memoryText(data) } : { direct };
      if (name === 'uring') return { uring: { filename, ...more } };
      return { aio: { filename, block_size_override: blockSizeOverride, readonly, fallocate, ...more } };
    },
    configCalls: (spec) => {
      const { filename, readonly, fallocate, blockSizeOverride, direct } = spec.data as FileData;
      const params: Record<string, unknown> = { name: spec.name, filename, uuid: spec.uuid, direct };
      if (blockSizeOverride) params.block_size = spec.blockSizeBytes;
      if (name === 'aio') Object.assign(params, { readonly, fallocate });
      return [{ method: `bdev_${name}_create`, params }];
    },
  };
}

export const aioModule = registerBdevModule(makeModule('aio'));
export const uringModule = registerBdevModule(makeModule('uring'));

/**
 * Looks at the file's size again and gives the disk that size. App core.
 * @throws {SpdkError} ENODEV when `name` is no disk of that module; EBUSY when it has shrunk and is open.
 */
export async function rescanFile(reactor: Reactor, moduleName: FileModuleName, name: string): Promise<void> {
  const registry = bdevRegistry(reactor);
  const bdev = registry.get(name);
  if (bdev.moduleName !== moduleName) {
    throw new SpdkError('ENODEV', `bdev "${name}" is of module ${bdev.moduleName}, not ${moduleName}`);
  }
  const { fd, filename } = bdev.spec.data as FileData;
  const blocks = Math.floor(fileSize(fd, filename) / bdev.blockSizeBytes);
  if (blocks === bdev.blocks) return;
  const before = bdev.blocks;
  await registry.resize(name, blocks);
  fileLog.notice(`bdev "${name}": resized from ${before} to ${blocks} blocks`);
}
