/**
 * A disk as people name it on a command line: a size (memory), a file or device, or a module that defines one.
 *
 *     64M   1G   512K   1048576   malloc:64M     memory of that size
 *     null:1G                                    a disk of that size that keeps nothing
 *     ./disk.img   /dev/vdb   file:./64M         that file
 *     ./my-disk.ts   disk.mjs                    what the module exports (defineDisk, defineBdevModule)
 *
 * Behind a `?` come words as in a URI, with `&` between: `fault=RULE` is a fault rule (docs/faults.md), any other word an option for the module.
 *
 *     '64M?fault=op=write,action=error,errno=ENOSPC,skip=10'
 *     './my-disk.ts?bucket=disks&fault=op=read,action=delay,delay_us=2000'
 *
 * A word that could be both is a size; write ./64M for the file. A file that is there under the whole name is that file.
 */
import { existsSync, statSync } from 'node:fs';
import { faultRule } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import { parseSize } from '../env/size.ts';

/** What kind of disk an argument asks for. */
export type DiskArgument = DiskPlace & {
  /** Rules of what is to go wrong, checked. */
  readonly faults?: readonly string[];
};
type DiskPlace =
  | { readonly kind: 'memory'; readonly sizeBytes: number }
  | { readonly kind: 'null'; readonly sizeBytes: number }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'module'; readonly path: string; readonly options?: Readonly<Record<string, string>> };

const MODULE = /\.(ts|mts|js|mjs)$/;
const BLOCK_BYTES = 512;

/**
 * @throws {SpdkError} EINVAL for a size that is no multiple of 512, none behind `null:` or `malloc:`, a fault rule that is wrong, an option for what takes none;
 * ENOENT for a file that is not there.
 */
export function parseDiskArgument(text: string): DiskArgument {
  const at = existsSync(text) ? -1 : text.indexOf('?');
  if (at < 0) return parsePlace(text);
  const place = parsePlace(text.slice(0, at));
  const faults: string[] = [];
  const options: Record<string, string> = {};
  for (const word of text.slice(at + 1).split('&')) {
    const [key, value] = keyAndValue(`disk "${text}"`, word);
    if (key === 'fault') {
      faultRule(value);
      faults.push(value);
    } else if (place.kind !== 'module') {
      throw new SpdkError('EINVAL', `disk "${text}": "${key}" is an option, which only modules take; there is "fault"`);
    } else options[key] = value;
  }
  return {
    ...place,
    ...(faults.length > 0 ? { faults } : {}),
    ...(Object.keys(options).length > 0 ? { options } : {}),
  };
}

/** Of `KEY=VALUE`, with what a URI has to write as %XX. @throws {SpdkError} EINVAL */
export function keyAndValue(where: string, word: string): [string, string] {
  const at = word.indexOf('=');
  if (at < 1) throw new SpdkError('EINVAL', `${where}: "${word}" is not KEY=VALUE`);
  try {
    return [decodeURIComponent(word.slice(0, at)), decodeURIComponent(word.slice(at + 1))];
  } catch {
    throw new SpdkError('EINVAL', `${where}: "${word}" has a % that is not %XX`);
  }
}

function parsePlace(text: string): DiskPlace {
  const [, scheme = '', name] = /^(?:(null|malloc|file):)?(.*)$/s.exec(text) as RegExpExecArray;
  if (scheme !== 'file') {
    const sizeBytes = parseSize(name);
    if (sizeBytes !== null) {
      if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % BLOCK_BYTES !== 0) {
        throw new SpdkError('EINVAL', `disk "${text}": ${sizeBytes} bytes is not a multiple of ${BLOCK_BYTES} above 0`);
      }
      return { kind: scheme === 'null' ? 'null' : 'memory', sizeBytes };
    }
    if (scheme !== '') {
      throw new SpdkError('EINVAL', `disk "${text}": what follows "${scheme}:" is not a size like 64M or 1G`);
    }
  }
  if (!existsSync(name)) {
    throw new SpdkError('ENOENT', `disk "${text}": no such file, and not a size like 64M or 1G`);
  }
  if (statSync(name).isDirectory()) throw new SpdkError('EINVAL', `disk "${text}" is a directory`);
  return { kind: scheme === '' && MODULE.test(name) ? 'module' : 'file', path: name };
}
