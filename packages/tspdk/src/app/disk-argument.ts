/**
 * A disk as people name it on a command line: a size (memory), a file or device, or a module that defines one.
 *
 *     64M   1G   512K   1048576        memory of that size
 *     null:1G                          a disk of that size that keeps nothing
 *     ./disk.img   /dev/vdb            that file
 *     ./my-disk.ts   disk.mjs          what the module exports (defineDisk)
 *
 * A word that could be both is a size; write ./64M for the file.
 */
import { existsSync, statSync } from 'node:fs';
import { SpdkError } from '../env/errors.ts';
import { parseSize } from '../env/size.ts';

/** What kind of disk an argument asks for. */
export type DiskArgument =
  | { readonly kind: 'memory'; readonly sizeBytes: number }
  | { readonly kind: 'null'; readonly sizeBytes: number }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'module'; readonly path: string };

const MODULE = /\.(ts|mts|js|mjs)$/;
const NULL = 'null:';
const BLOCK_BYTES = 512;

/** @throws {SpdkError} EINVAL for a size that is no multiple of 512, or none behind `null:`; ENOENT for a file that is not there. */
export function parseDiskArgument(text: string): DiskArgument {
  const keepsNothing = text.startsWith(NULL);
  const sizeBytes = parseSize(keepsNothing ? text.slice(NULL.length) : text);
  if (sizeBytes !== null) {
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % BLOCK_BYTES !== 0) {
      throw new SpdkError('EINVAL', `disk "${text}": ${sizeBytes} bytes is not a multiple of ${BLOCK_BYTES} above 0`);
    }
    return { kind: keepsNothing ? 'null' : 'memory', sizeBytes };
  }
  if (keepsNothing)
    throw new SpdkError('EINVAL', `disk "${text}": what follows "${NULL}" is not a size like 64M or 1G`);
  if (!existsSync(text)) {
    throw new SpdkError('ENOENT', `disk "${text}": no such file, and not a size like 64M or 1G`);
  }
  if (statSync(text).isDirectory()) throw new SpdkError('EINVAL', `disk "${text}" is a directory`);
  return { kind: MODULE.test(text) ? 'module' : 'file', path: text };
}
