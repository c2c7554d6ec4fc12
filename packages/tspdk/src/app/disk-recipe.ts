/**
 * How a disk that people name (disk-argument.ts) is made: the bdev module and its parameters, for a registry as for an RPC. Pure functions.
 */
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SpdkError } from '../env/errors.ts';
import { BLOCK_BYTES, checkOption, type DiskArgument } from './disk-argument.ts';

type Options = Readonly<Record<string, string>>;

/** Of an image where nothing else is said. */
const RBD_BLOCK_BYTES = 4096;

/** How a disk is to be opened. */
export interface DiskUse {
  /** A file or an image is opened for reading only. */
  readonly readOnly?: boolean;
  /** Bytes of a block; default 512, or what the device has. */
  readonly blockBytes?: number | undefined;
  /** Bypass the page cache of a file, where possible. */
  readonly direct?: boolean;
  /** Beyond those that its name has. */
  readonly options?: Options;
}

/** How the disk is made: of which bdev module, and with what; by RPC that is `bdev_MODULE_create`. */
export interface DiskRecipe {
  readonly module: 'malloc' | 'null' | 'uring' | 'disk' | 'nbd' | 'rbd';
  readonly params: { readonly name: string } & Readonly<Record<string, unknown>>;
}

/**
 * The recipe for a disk that is called `name`.
 * @throws {SpdkError} EINVAL when the size is no multiple of the block size, for a block size of what brings its own and for an option of what takes none
 */
export function diskRecipe(name: string, disk: DiskArgument, use: DiskUse = {}): DiskRecipe {
  const { blockBytes } = use;
  for (const key of Object.keys(use.options ?? {})) checkOption(whatIs(disk), disk, key);
  const options = { ...disk.options, ...use.options };
  if ((disk.kind === 'module' || disk.kind === 'nbd') && blockBytes !== undefined) {
    throw new SpdkError('EINVAL', `block size ${blockBytes}: ${whatIs(disk)} has its own`);
  }
  switch (disk.kind) {
    case 'memory':
    case 'null': {
      const block_size = blockBytes ?? BLOCK_BYTES;
      const num_blocks = disk.sizeBytes / block_size;
      if (!Number.isInteger(num_blocks)) {
        throw new SpdkError('EINVAL', `${disk.sizeBytes} bytes are not a multiple of the block size ${block_size}`);
      }
      return { module: disk.kind === 'null' ? 'null' : 'malloc', params: { name, block_size, num_blocks } };
    }
    case 'file':
      return {
        module: 'uring',
        params: {
          name,
          filename: resolve(disk.path),
          ...(blockBytes === undefined ? {} : { block_size: blockBytes }),
          ...(use.readOnly ? { readonly: true } : {}),
          // Said always: the method's default is another than the module's.
          direct: use.direct ?? false,
        },
      };
    case 'module': {
      const more = Object.keys(options).length === 0 ? {} : { options };
      return { module: 'disk', params: { name, module: pathToFileURL(resolve(disk.path)).href, ...more } };
    }
    case 'nbd':
      return { module: 'nbd', params: { name, uri: disk.uri, ...numbers(options) } };
    case 'rbd':
      return {
        module: 'rbd',
        params: {
          name,
          ...imageParams(disk.pool, disk.image, options, blockBytes),
          ...(use.readOnly ? { read_only: true } : {}),
        },
      };
  }
}

/** The connection's own words; all others are Ceph's. */
function imageParams(pool_name: string, rbd_name: string, options: Options, blockBytes = RBD_BLOCK_BYTES) {
  const { user_id, cluster_name, ...config } = options;
  return {
    pool_name,
    rbd_name,
    block_size: blockBytes,
    ...(user_id === undefined ? {} : { user_id }),
    ...(cluster_name === undefined ? {} : { cluster_name }),
    ...(Object.keys(config).length === 0 ? {} : { config }),
  };
}

/** @throws {SpdkError} EINVAL for what is no number */
function numbers(options: Options): Record<string, number> {
  return Object.fromEntries(
    Object.entries(options).map(([key, text]) => {
      if (!/^\d+$/.test(text)) throw new SpdkError('EINVAL', `${key} is "${text}"; it is a whole number`);
      return [key, Number(text)];
    }),
  );
}

/** What people are told that the disk is. */
export function whatIs(disk: DiskArgument): string {
  switch (disk.kind) {
    case 'memory':
      return `${disk.sizeBytes} bytes of memory`;
    case 'null':
      return `${disk.sizeBytes} bytes that are not kept`;
    case 'file':
      return resolve(disk.path);
    case 'module':
      return `what ${disk.path} defines`;
    case 'nbd':
      return disk.uri;
    case 'rbd':
      return `image ${disk.pool}/${disk.image}`;
  }
}

/** What a disk is called by itself; null: by its kind and a number. */
export function nameOf(disk: DiskArgument): string | null {
  return disk.kind === 'file' || disk.kind === 'module' ? basename(disk.path) : null;
}
