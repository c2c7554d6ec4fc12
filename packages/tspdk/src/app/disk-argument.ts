/**
 * A disk as people name it on a command line: a size (memory), a file or device, a module that defines one, a remote NBD export, a Ceph image.
 *
 *     64M   1G   512K   1048576   malloc:64M     memory of that size
 *     null:1G                                    a disk of that size that keeps nothing
 *     ./disk.img   /dev/vdb   file:./64M         that file
 *     ./my-disk.ts   disk.mjs                    what the module exports (defineDisk, defineBdevModule)
 *     nbd://host:10809/export   nbd+unix:///export?socket=/path     what another NBD server exports
 *     rbd:pool/image                             an image of a Ceph cluster
 *
 * Behind a `?` come words as in a URI, with `&` between: `fault=RULE` is a fault rule (docs/faults.md), any other word an option: whatever a module takes,
 * `reconnect_delay_ms` and `io_timeout_sec` of an NBD export, and of an image `user_id`, `cluster_name` and Ceph's own options by name.
 *
 *     '64M?fault=op=write,action=error,errno=ENOSPC,skip=10'
 *     './my-disk.ts?bucket=disks&fault=op=read,action=delay,delay_us=2000'
 *     'nbd+unix:///?socket=/tmp/nbd.sock&io_timeout_sec=5'
 *
 * A word that could be both is a size; write ./64M for the file. A file that is there under the whole name is that file.
 */
import { existsSync, statSync } from 'node:fs';
import { faultRule } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import { parseSize } from '../env/size.ts';
// Not all of nbd/: whoever only starts a target loads this.
import { parseNbdAddress } from '../nbd/uri.ts';

/** What kind of disk an argument asks for. */
export type DiskArgument = DiskPlace & {
  /** Rules of what is to go wrong, checked. */
  readonly faults?: readonly string[];
  /** What else stands behind the `?`: for a kind that takes it. */
  readonly options?: Readonly<Record<string, string>>;
};
type DiskPlace =
  | { readonly kind: 'memory'; readonly sizeBytes: number }
  | { readonly kind: 'null'; readonly sizeBytes: number }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'module'; readonly path: string }
  | { readonly kind: 'nbd'; readonly uri: string }
  | { readonly kind: 'rbd'; readonly pool: string; readonly image: string };

const MODULE = /\.[cm]?[jt]sx?$/;
const NBD = /^nbds?(\+unix)?:\/\//;
const NBD_OPTIONS: readonly string[] = ['reconnect_delay_ms', 'io_timeout_sec'];
export const BLOCK_BYTES = 512;

/**
 * @throws {SpdkError} EINVAL for a size that is no multiple of 512, none behind `null:` or `malloc:`, an address that is none, a fault rule that is wrong, an option for what takes none;
 * ENOENT for a file that is not there.
 */
export function parseDiskArgument(text: string): DiskArgument {
  const at = existsSync(text) ? -1 : text.indexOf('?');
  if (at < 0) return parsePlace(text);
  const faults: string[] = [];
  const options: Record<string, string> = {};
  // The one word of an NBD URI that says where the server is.
  let socket: string | null = null;
  for (const word of text.slice(at + 1).split('&')) {
    const [key, value] = keyAndValue(`disk "${text}"`, word);
    if (key === 'fault') {
      faultRule(value);
      faults.push(value);
    } else if (key === 'socket' && NBD.test(text)) socket = word;
    else options[key] = value;
  }
  const place = parsePlace(text.slice(0, at) + (socket === null ? '' : `?${socket}`));
  for (const key of Object.keys(options)) checkOption(`disk "${text}"`, place, key);
  return {
    ...place,
    ...(faults.length > 0 ? { faults } : {}),
    ...(Object.keys(options).length > 0 ? { options } : {}),
  };
}

/** @throws {SpdkError} EINVAL naming the option, and what there is instead */
export function checkOption(where: string, { kind }: Pick<DiskArgument, 'kind'>, key: string): void {
  if (kind === 'module' || kind === 'rbd' || (kind === 'nbd' && NBD_OPTIONS.includes(key))) return;
  const why =
    kind === 'nbd'
      ? `an NBD export takes ${NBD_OPTIONS.join(' and ')}`
      : 'only modules, NBD exports and RBD images take options';
  throw new SpdkError('EINVAL', `${where}: "${key}" is no option of such a disk; ${why}`);
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
  if (NBD.test(text)) {
    parseNbdAddress(text);
    return { kind: 'nbd', uri: text };
  }
  if (text.startsWith('rbd:')) return parseImage(text);
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
    const others = 'and not a size like 64M, an nbd:// address or an rbd: image';
    throw new SpdkError('ENOENT', `disk "${text}": no such file, ${others}`);
  }
  if (statSync(name).isDirectory()) throw new SpdkError('EINVAL', `disk "${text}" is a directory`);
  return { kind: scheme === '' && MODULE.test(name) ? 'module' : 'file', path: name };
}

function parseImage(text: string): DiskPlace {
  const found = /^rbd:([^/]+)\/([^/]+)$/.exec(text);
  if (found === null) throw new SpdkError('EINVAL', `disk "${text}": what follows "rbd:" is POOL/IMAGE`);
  return { kind: 'rbd', pool: found[1], image: found[2] };
}
