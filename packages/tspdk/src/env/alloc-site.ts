/**
 * Where a block was allocated, as a number that fits its header and that every core can turn into words.
 *
 * When a block is freed on the wrong core, the message must name both places. The free has a stack of its own; the allocation is
 * long gone. So each allocating place holds one `AllocSite`; its first allocation looks at the stack once, and from
 * then on the site costs an integer in the block's header.
 */
import { basename, dirname } from 'node:path';
import { SharedNames } from './shared-names.ts';

const SITES_MAX = 1024;
const SITE_BYTES = 188;

let sites = new SharedNames('allocation site', SITES_MAX, SITE_BYTES);
const local: AllocSite[] = [];

/** One allocating place of the program. Make it at module load, use it in one place. */
export class AllocSite {
  readonly name: string;
  /** 0 until the first allocation; then the number in block headers. */
  id = 0;
  constructor(name: string) {
    this.name = name;
    local.push(this);
  }
  /** Called by the heap at the first allocation. `stack` is that of an Error made there. */
  resolve(stack: string | undefined): void {
    this.id = sites.intern(`${this.name} (${callerOf(stack)})`) + 1;
  }
}

/** The process's table of sites, to pass to a worker. */
export function allocSiteTable(): SharedArrayBuffer {
  return sites.buffer;
}

/** Called once in a worker before its reactor starts. */
export function adoptAllocSiteTable(buffer: SharedArrayBuffer): void {
  if (buffer === sites.buffer) return;
  sites = new SharedNames('allocation site', SITES_MAX, SITE_BYTES, buffer);
  for (const site of local) site.id = 0;
}

/** "call_reactor (event/for-each-reactor.js:41:20)". */
export function allocSiteName(id: number): string {
  return sites.name(id - 1) ?? `unknown site ${id}`;
}

const OWN_FRAMES = /\/env\/(heap|struct|alloc-site)\.[jt]s$/;

/** The first frame outside the files that `skip` matches (default: the heap's own), with its folder, file and line. */
export function callerOf(stack: string | undefined, skip: RegExp = OWN_FRAMES): string {
  for (const line of (stack ?? '').split('\n').slice(1)) {
    const match = /\(?((?:file:\/\/|\/)[^()]+?):(\d+):\d+\)?$/.exec(line.trim());
    if (!match) continue;
    const [, path, row] = match as unknown as [string, string, string];
    if (skip.test(path)) continue;
    return `${basename(dirname(path))}/${basename(path)}:${row}`.slice(-120);
  }
  return 'unknown place';
}
