/**
 * A disk as people name it on a command line: a size (memory), a file or device, or a module that defines one.
 *
 *     64M   1G   512K   1048576        memory of that size
 *     ./disk.img   /dev/vdb            that file
 *     ./my-disk.ts   disk.mjs          what the module exports (defineDisk)
 *
 * A word that could be both is a size; write ./64M for the file.
 */
import { existsSync, statSync } from 'node:fs';
import { SpdkError } from '../env/errors.ts';

/** What kind of disk an argument asks for. */
export type DiskArgument =
  | { readonly kind: 'memory'; readonly sizeBytes: number }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'module'; readonly path: string };

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
const MODULE = /\.(ts|mts|js|mjs)$/;
const BLOCK_BYTES = 512;

/** Bytes of "64M", "1GiB", "512"; null when it is not a size. */
export function parseSize(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text);
  if (match === null) return null;
  return Number(match[1]) * UNITS[match[2].toUpperCase()];
}

/** @throws {SpdkError} EINVAL for a size that is no multiple of 512; ENOENT for a file that is not there. */
export function parseDiskArgument(text: string): DiskArgument {
  const sizeBytes = parseSize(text);
  if (sizeBytes !== null) {
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % BLOCK_BYTES !== 0) {
      throw new SpdkError('EINVAL', `disk "${text}": ${sizeBytes} bytes is not a multiple of ${BLOCK_BYTES} above 0`);
    }
    return { kind: 'memory', sizeBytes };
  }
  if (!existsSync(text)) {
    throw new SpdkError('ENOENT', `disk "${text}": no such file, and not a size like 64M or 1G`);
  }
  if (statSync(text).isDirectory()) throw new SpdkError('EINVAL', `disk "${text}" is a directory`);
  return { kind: MODULE.test(text) ? 'module' : 'file', path: text };
}
