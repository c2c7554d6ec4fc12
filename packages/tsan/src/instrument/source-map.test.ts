// Places in rewritten text lead back to the text that its author wrote, through the maps of the tools between.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import MagicString from 'magic-string';
import { instrument, type RawSourceMap, type SiteTable } from './index.ts';
import { decodeMappings, encode, originalPositions, type Segment } from './source-map.ts';

const url = 'file:///project/dist/a.js';

/** Text as a compiler might leave it: types gone, lines moved, a map to `../src/a.ts`. */
function compiled(): { original: string; source: string; map: RawSourceMap } {
  const original =
    'interface View { [i: number]: number }\nfunction get(view: View, i: number): number {\n  return view[i];\n}\n';
  const magic = new MagicString(original);
  magic.remove(0, original.indexOf('function'));
  for (const type of [': View', ': number)', ': number {']) {
    const at = original.indexOf(type, original.indexOf('get'));
    magic.update(at, at + type.length, type.replace(/: \w+/, ''));
  }
  magic.prepend('"use strict";\n');
  const map = encode(magic.generateDecodedMap({ source: '../src/a.ts', hires: true }));
  return { original, source: magic.toString(), map };
}

test('sites and the map name the original', () => {
  const { source, map } = compiled();
  let table: SiteTable | undefined;
  const allocate = (sites: SiteTable) => {
    table = sites;
    return 1;
  };
  const result = instrument(source, { url, sourceType: 'commonjs', map, allocate });
  assert(result && table);
  assert.deepEqual(table.sources, [url, 'file:///project/src/a.ts']);
  assert.deepEqual(table.sites, [1, 3, 10, 0]);
  assert.deepEqual(table.names, ['get']);
  assert.deepEqual(result.map.sources, ['file:///project/src/a.ts']);
  const lines = result.code.split('\n');
  const line = lines.findIndex((each) => each.includes('return'));
  const found = originalPositions(result.map, url)(line, lines[line].indexOf('view[i]'));
  assert.deepEqual(found, { source: 'file:///project/src/a.ts', line: 2, column: 9 });
});

test('without a map before, places are those of the text', () => {
  const source = 'x\n  f(a.b[i], c)\n';
  const result = instrument(source, { url, sourceType: 'module', allocate: () => 1 });
  assert(result);
  const line = result.code.split('\n')[1];
  const at = originalPositions(result.map, url);
  assert.deepEqual(at(1, line.indexOf('c)')), { source: url, line: 1, column: 12 });
  assert.deepEqual(at(1, line.indexOf('a.b')), { source: url, line: 1, column: 4 });
});

test('text that is put in front of a statement has its place, also where a minifier has made one line of two', () => {
  const source = 'function f(v){v[0]++}';
  const brace = source.indexOf('{');
  // Of an original with the brace in its first line and the statement in its second.
  const mappings = [
    [
      [0, 0, 0, 0],
      [brace, 0, 0, 15],
      [brace + 1, 0, 1, 2],
    ],
  ];
  const map = encode({ version: 3, file: '', sources: ['a.ts'], names: [], mappings } as never);
  const result = instrument(source, { url, sourceType: 'commonjs', map, allocate: () => 1 });
  assert(result);
  const first = result.code.indexOf('{', result.code.indexOf('f(v')) + 1;
  assert(!result.code.startsWith('v[0]', first), result.code);
  const at = originalPositions(result.map, url);
  assert.deepEqual(at(0, first), { source: 'file:///project/dist/a.ts', line: 1, column: 2 });
  assert.deepEqual(at(0, first - 1), { source: 'file:///project/dist/a.ts', line: 0, column: 15 });
});

test('mappings are read as they were written', () => {
  const segment = fc.tuple(fc.nat(500), fc.nat(2), fc.nat(3000), fc.nat(500)) as fc.Arbitrary<Segment>;
  fc.assert(
    fc.property(fc.array(fc.uniqueArray(segment, { selector: ([column]) => column })), (lines) => {
      const sorted = lines.map((segments) => segments.sort((a, b) => a[0] - b[0]));
      const sources = ['a', 'b', 'c'];
      const map = encode({
        version: 3,
        file: '',
        sources,
        sourcesContent: undefined,
        names: [],
        mappings: sorted,
      } as never);
      const decoded = decodeMappings(map.mappings);
      for (const [index, segments] of sorted.entries()) assert.deepEqual(decoded[index] ?? [], segments);
    }),
  );
});

test('a map that is broken does no harm', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(5), fc.nat(50), (mappings, line, column) => {
      originalPositions({ version: 3, sources: ['a'], names: [], mappings }, url)(line, column);
    }),
  );
});
