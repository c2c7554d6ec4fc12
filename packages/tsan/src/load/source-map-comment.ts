// Finds the source map that an earlier tool has left with a text: in its last `//# sourceMappingURL=` comment, as data or as a file beside it.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { RawSourceMap } from '../instrument/index.ts';

const comment = /\/\/[#@] sourceMappingURL=([^\s'"]+)\s*$/gm;

/** The map of `source`, or undefined where there is none that can be read: then places are those of the text itself. */
export function readSourceMap(source: string, url: string): RawSourceMap | undefined {
  const found = [...source.matchAll(comment)].at(-1)?.[1];
  if (!found) return undefined;
  try {
    const map = JSON.parse(readText(found, url)) as RawSourceMap;
    return map.version === 3 && typeof map.mappings === 'string' ? map : undefined;
  } catch {
    return undefined;
  }
}

function readText(address: string, url: string): string {
  const data = /^data:application\/json[^,]*?(;base64)?,(.*)$/.exec(address);
  if (data) return data[1] ? Buffer.from(data[2], 'base64').toString() : decodeURIComponent(data[2]);
  return readFileSync(fileURLToPath(new URL(address, url)), 'utf8');
}
