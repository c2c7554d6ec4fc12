// A site is a place of a program that a report can name: file, line, column and the function it is in. A file's sites are numbered from 0
// here; `__jstsan.module` gives the file a range of ids that no other file or thread of the process has.

/** Four integers a site: index into `sources`, line and column (both from 1), index into `names`. */
export interface SiteTable {
  url: string;
  sources: string[];
  names: string[];
  sites: number[];
}

export const siteInts = 4;

/** Where a position of the given text was before earlier tools (a compiler, a stripper of types) made that text. Line and column from 0. */
export type OriginalPosition = (
  line: number,
  column: number,
) => { source: string; line: number; column: number } | undefined;

export class Sites {
  readonly table: SiteTable;
  readonly #lineStarts = [0];
  readonly #original: OriginalPosition | undefined;
  readonly #known = new Map<string, number>();

  constructor(url: string, source: string, original?: OriginalPosition) {
    this.table = { url, sources: [url], names: [], sites: [] };
    this.#original = original;
    for (const match of source.matchAll(/\r\n|[\n\r\u2028\u2029]/g))
      this.#lineStarts.push(match.index + match[0].length);
  }

  get count(): number {
    return this.table.sites.length / siteInts;
  }

  /** The site at an offset of the source, in the function of that name; the same one when asked again. */
  add(offset: number, functionName: string): number {
    const key = `${offset} ${functionName}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const line = this.#lineOf(offset);
    const column = offset - this.#lineStarts[line];
    const found = this.#original?.(line, column);
    const { sources, names, sites } = this.table;
    const site = this.count;
    sites.push(
      found ? indexIn(sources, found.source) : 0,
      (found?.line ?? line) + 1,
      (found?.column ?? column) + 1,
      indexIn(names, functionName),
    );
    this.#known.set(key, site);
    return site;
  }

  #lineOf(offset: number): number {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#lineStarts[middle] <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function indexIn(list: string[], text: string): number {
  const index = list.lastIndexOf(text);
  return index === -1 ? list.push(text) - 1 : index;
}
