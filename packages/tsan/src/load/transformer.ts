// The way of one file from text to rewritten text, in whichever thread that happens: whether it is looked at, what came with it as source
// map, what to say when it does not parse, and afterwards which place of the source a place in the rewritten text is.

import { readFileSync } from 'node:fs';
import { findSourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type InstrumentOptions, instrument, type RawSourceMap, type SiteTable } from '../instrument/index.ts';
import type { OriginalPosition } from '../instrument/sites.ts';
import { originalPositions } from '../instrument/source-map.ts';
import { readSourceMap } from './source-map-comment.ts';

export type SourceType = InstrumentOptions['sourceType'];

export interface TransformerOptions {
  /** Gives the sites of a file their ids; returns the first. */
  allocate: (table: SiteTable) => number;
  /** Files that are not rewritten, by address. */
  isExcluded: (url: string) => boolean;
  /** Write a map at the end of each text? Node reads it only with --enable-source-maps. A text that brings its map along gets one in any case. */
  writesMaps: boolean;
  /** Says something to the user, once for each text. */
  say: (text: string) => void;
}

export interface Place {
  file: string;
  line: number;
  column: number;
}

const own = new URL('../', import.meta.url).href;
const ownTests = /\.(test|fixture|fuzz)\.[jt]s$/;

export class Transformer {
  readonly #options: TransformerOptions;
  /** By address: places of the text that runs here, or undefined where they are those of the source. */
  readonly #positions = new Map<string, OriginalPosition | undefined>();

  /** By address: text that has been rewritten here, and may come along once more. */
  readonly #texts = new Map<string, string>();

  constructor(options: TransformerOptions) {
    this.#options = options;
  }

  /** The text to run instead of `source`; the same one where there is nothing to do. */
  transform(url: string, source: string, sourceType: SourceType, preamble?: string): string {
    if (isOwn(url) || this.#options.isExcluded(url) || this.#texts.get(url) === source) return source;
    try {
      const map = readSourceMap(source, url);
      const result = instrument(source, { url, sourceType, map, preamble, allocate: this.#options.allocate });
      this.#positions.set(url, result && originalPositions(result.map, url));
      if (!result) return source;
      const text = this.#options.writesMaps || hasInlineMap(source) ? withMap(result.code, result.map) : result.code;
      this.#texts.set(url, text);
      return text;
    } catch (error) {
      this.#options.say(`${pathOf(url)} is not checked: ${(error as Error).message}`);
      return source;
    }
  }

  /** Line and column from 1, as V8 counts them. Also of a file that another thread has rewritten, as long as it is on disk. */
  resolve(file: string, line: number, column: number): Place | undefined {
    const url = file.startsWith('/') ? `file://${encodeURI(file)}` : file;
    if (!this.#positions.has(url)) this.#positions.set(url, positionsKept(url) ?? this.#positionsOnDisk(url));
    const found = this.#positions.get(url)?.(line - 1, column - 1);
    return found && { file: found.source, line: found.line + 1, column: found.column + 1 };
  }

  /** Rewriting again gives the same columns: ids of sites have one width. */
  #positionsOnDisk(url: string): OriginalPosition | undefined {
    if (!url.startsWith('file://') || isOwn(url) || this.#options.isExcluded(url)) return undefined;
    try {
      const source = readFileSync(fileURLToPath(url), 'utf8');
      const map = readSourceMap(source, url);
      const sourceType = /\.c[jt]s$/.test(url) ? 'commonjs' : 'module';
      const result = instrument(source, { url, sourceType, map, allocate: () => 0 });
      return result && originalPositions(result.map, url);
    } catch {
      return undefined;
    }
  }
}

function isOwn(url: string): boolean {
  return url.startsWith('node:') || (url.startsWith(own) && !ownTests.test(url));
}

function pathOf(url: string): string {
  return url.startsWith('file://') ? fileURLToPath(url) : url.slice(0, 80);
}

/** A tool that makes the text as it is loaded, as tsx does, has Node use its map; that of the rewritten text has to stand in its place. */
function hasInlineMap(source: string): boolean {
  return /\/\/[#@] sourceMappingURL=data:[^\n]*\s*$/.test(source);
}

/** What Node has kept of a text that the hooks' thread has rewritten: what is on disk may be another one. */
function positionsKept(url: string): OriginalPosition | undefined {
  const map = findSourceMap(url)?.payload as (RawSourceMap & { x_jstsan?: true }) | undefined;
  return map?.x_jstsan === true ? originalPositions(map, url) : undefined;
}

function withMap(code: string, map: RawSourceMap): string {
  const data = Buffer.from(JSON.stringify({ ...map, x_jstsan: true })).toString('base64');
  return `${code}\n//# sourceMappingURL=data:application/json;charset=utf-8;base64,${data}`;
}
