// Source maps, as far as they are needed here: reading the map that an earlier tool left with a text, and looking positions up in it.

import { type DecodedSourceMap, SourceMap } from 'magic-string';
import type { OriginalPosition } from './sites.ts';

export interface RawSourceMap {
  version: number;
  file?: string;
  sources: (string | null)[];
  sourcesContent?: (string | null)[];
  sourceRoot?: string;
  names: string[];
  mappings: string;
}

/** Generated column, source, original line, original column, all from 0. */
export type Segment = [number, number, number, number];

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const digitValue = new Int8Array(128).fill(-1);
for (let i = 0; i < digits.length; i++) digitValue[digits.charCodeAt(i)] = i;

/** The segments of each line, sorted by column; those without a source are left out. */
export function decodeMappings(mappings: string): Segment[][] {
  const lines: Segment[][] = [];
  let [source, line, column] = [0, 0, 0];
  for (const text of mappings.split(';')) {
    const segments: Segment[] = [];
    let generated = 0;
    for (const field of text.split(',')) {
      const values = decodeField(field);
      if (values.length === 0) continue;
      generated += values[0];
      if (values.length < 4) continue;
      source += values[1];
      line += values[2];
      column += values[3];
      segments.push([generated, source, line, column]);
    }
    lines.push(segments.sort((a, b) => a[0] - b[0]));
  }
  return lines;
}

function decodeField(field: string): number[] {
  const values: number[] = [];
  let [value, shift] = [0, 0];
  for (let i = 0; i < field.length; i++) {
    const digit = digitValue[field.charCodeAt(i)] ?? -1;
    if (digit < 0) return [];
    value |= (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    values.push(value & 1 ? -(value >>> 1) : value >>> 1);
    value = shift = 0;
  }
  return values;
}

/** Looks a position up in `map`; names of sources are resolved against `url`, the address of the mapped text. */
export function originalPositions(map: RawSourceMap, url: string): OriginalPosition {
  const lines = decodeMappings(map.mappings);
  const sources = map.sources.map((source) => resolve(`${map.sourceRoot ?? ''}${source ?? ''}`, url));
  return (line, column) => {
    const segments = lines[line] ?? [];
    const next = segments.findIndex(([start]) => start > column);
    const before = segments.at(next === -1 ? -1 : next - 1);
    if (!before || next === 0) return undefined;
    const found = isInserted(before, segments[next], column) ? segments[next] : before;
    return { source: sources[found[1]], line: found[2], column: found[3] };
  };
}

/** Is a column in text that a tool has put in front of `next`? Then the text between it and `before` is longer than it was. */
function isInserted(before: Segment, next: Segment | undefined, column: number): next is Segment {
  if (!next || next[1] !== before[1] || next[2] !== before[2]) return false;
  const length = next[3] - before[3];
  return length >= 0 && next[0] - before[0] > length && column - before[0] >= length;
}

function resolve(source: string, url: string): string {
  try {
    return new URL(source, url).href;
  } catch {
    return source;
  }
}

export function encode(map: DecodedSourceMap): RawSourceMap {
  return JSON.parse(new SourceMap(map).toString()) as RawSourceMap;
}

/** The map from a text made of a text that had a map itself, to the original. */
export function chain(map: DecodedSourceMap, earlier: RawSourceMap, url: string): RawSourceMap {
  const original = originalPositions(earlier, url);
  const sources: string[] = [];
  const mappings = map.mappings.map((segments) => {
    const chained: Segment[] = [];
    const add = (column: number, line: number, sourceColumn: number) => {
      const found = line === undefined ? undefined : original(line, sourceColumn);
      if (found) chained.push([column, indexIn(sources, found.source), found.line, found.column]);
    };
    (segments as Segment[]).forEach((segment, at) => {
      const [column, , line, sourceColumn] = segment;
      add(column, line, sourceColumn);
      // Where text was put in front of the next one can be told here only: in the original the two may be on different lines, as after a minifier.
      const next = (segments as Segment[])[at + 1];
      const inserted = next === undefined ? column : column + next[3] - sourceColumn;
      if (inserted > column && isInserted(segment, next, inserted)) add(inserted, next[2], next[3]);
    });
    return chained;
  });
  return encode({ ...map, sources, sourcesContent: undefined, names: [], mappings } as unknown as DecodedSourceMap);
}

function indexIn(list: string[], text: string): number {
  const index = list.lastIndexOf(text);
  return index === -1 ? list.push(text) - 1 : index;
}
