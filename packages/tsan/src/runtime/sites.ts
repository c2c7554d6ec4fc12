// Places of the program. A word of 32 bits says where an access was made: a site (an id of the rewriter) or, with the bit below the sign set, a captured
// stack. Ids are one range for the process, and what they mean is text in the control memory, so that every thread can tell it, also of one that is gone.

import type { Frame } from '../report/report.ts';
import { type Control, Header, maxModules, maxStacks, moduleInts } from './control.ts';
import { appendText, readText } from './text.ts';

const { load, store } = Atomics;

/** What the rewriter knows of a module; `sites` has 4 ints for each: source, line, column (from 1), name of the function around it. */
export interface SiteTable {
  readonly url: string;
  readonly sources: readonly string[];
  readonly names: readonly string[];
  readonly sites: readonly number[];
}

export const stackWord = 1 << 30;
const siteMax = stackWord - 1;

/** Enters a module's sites. @returns the id of its first one */
export function addModule(control: Control, table: SiteTable): number {
  const count = table.sites.length / 4;
  const base = control.take(Header.nextSite, count);
  if (base + count > siteMax) throw new RangeError('more than 2^30 sites');
  const index = control.take(Header.modules);
  if (index >= maxModules) return base;
  const at = index * moduleInts;
  control.modules[at + 1] = count;
  control.modules[at + 2] = appendText(control, JSON.stringify(table));
  store(control.modules, at, base);
  return base;
}

/** The place of a site, or undefined for what nobody has entered. */
export function siteFrame(control: Control, site: number): Frame | undefined {
  const count = Math.min(load(control.header, Header.modules), maxModules);
  for (let at = 0; at < count * moduleInts; at += moduleInts) {
    const base = load(control.modules, at);
    if (base === 0 || site < base || site >= base + control.modules[at + 1]!) continue;
    const text = readText(control, control.modules[at + 2]!);
    return text === '' ? undefined : frameOf(JSON.parse(text) as SiteTable, (site - base) * 4);
  }
  return undefined;
}

function frameOf(table: SiteTable, at: number): Frame {
  const [source, line, column, name] = table.sites.slice(at, at + 4) as [number, number, number, number];
  return { function: table.names[name] ?? '', file: table.sources[source] ?? table.url, line, column };
}

/** Enters a stack; @returns its word, 0 where there is no room. */
export function addStack(control: Control, frames: readonly Frame[]): number {
  const text = appendText(control, JSON.stringify(frames));
  if (text === 0) return 0;
  const index = control.take(Header.nextStack);
  if (index >= maxStacks) return 0;
  store(control.stacks, index, text);
  return stackWord | index;
}

/** The stack behind a word: all of it, or the one frame that a site tells. */
export function framesOf(control: Control, word: number): Frame[] {
  if ((word & stackWord) === 0) {
    const frame = siteFrame(control, word);
    return frame === undefined ? [] : [frame];
  }
  const text = readText(control, load(control.stacks, word & siteMax));
  return text === '' ? [] : (JSON.parse(text) as Frame[]);
}
