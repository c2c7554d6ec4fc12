// Finding the values in a stream without framing, wherever it is cut and whatever it holds.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../env/limits.ts';
import { JsonSplitter, type JsonStreamError } from './json-splitter.ts';

/** Feeds pieces, returns the texts found. */
function split(
  pieces: readonly (string | Uint8Array)[],
  maxBytes?: number,
): { texts: string[]; error: JsonStreamError | null } {
  const splitter = new JsonSplitter(maxBytes);
  const texts: string[] = [];
  for (const piece of pieces) {
    splitter.push(Buffer.from(piece as string));
    for (let next = splitter.next(); next !== null; next = splitter.next()) texts.push(next.text);
  }
  return { texts, error: splitter.error };
}

test('values with and without space between them', () => {
  assert.deepEqual(split(['{}{"a":1} [1,2]\n"x"true 12 -1.5e3,']).texts, [
    '{}',
    '{"a":1}',
    '[1,2]',
    '"x"',
    'true',
    '12',
    '-1.5e3',
  ]);
  assert.deepEqual(split(['']).texts, []);
  assert.deepEqual(split([' \r\n\t']), { texts: [], error: null });
});

test('brackets and quotes inside strings do not count', () => {
  const text = '{"a]}":"b[{\\"\\\\"}';
  assert.deepEqual(split([text, text]).texts, [text, text]);
});

test('parse_string_utf8: valid is decoded, invalid is refused', () => {
  assert.deepEqual(split(['"é😀\ufeff"']).texts, ['"é😀\ufeff"']);
  for (const bytes of [
    [0xc3, 0x28],
    [0x80],
    [0xf5, 0x80, 0x80, 0x80],
    [0xed, 0xa0, 0x80],
    [0xc0, 0xaf],
    [0xe2, 0x82],
  ]) {
    assert.equal(split([Buffer.from([0x22, ...bytes, 0x22])]).error, 'utf8', String(bytes));
  }
  assert.equal(split([Buffer.from([0xff])]).error, 'syntax');
});

test('garbage is refused at its first byte', () => {
  for (const bad of [
    '}',
    ']',
    ',',
    ':',
    'x',
    '/',
    '{1',
    '{,',
    '{]',
    '[}',
    '[1 2',
    '[1,]',
    '[,',
    '{"a"}',
    '{"a",',
    '{"a":}',
    '{"a":,',
    '{"a":1,}',
    '{"a" 1',
    '{"a"::',
    '[[]}',
    '\0',
    '{"a":1 "b"',
    "{'",
  ]) {
    const { texts, error } = split([bad]);
    assert.deepEqual([texts, error], [[], 'syntax'], bad);
  }
});

test('what came before the garbage is found', () => {
  assert.deepEqual(split(['{"a":1}', '{}}']), { texts: ['{"a":1}', '{}'], error: 'syntax' });
});

test('depth', () => {
  const max = limits.json_nesting_max;
  assert.equal(split(['['.repeat(max) + ']'.repeat(max)]).texts.length, 1);
  assert.equal(split(['[{"a":'.repeat(max)]).error, 'depth');
});

test('size: whole, in pieces, and never finished', () => {
  assert.equal(split(['"12345678"'], 10).texts.length, 1);
  assert.equal(split(['"123456789"'], 10).error, 'size');
  assert.equal(split(['"12345', '6789"'], 10).error, 'size');
  assert.equal(split(['"', ...Array<string>(20).fill('x')], 10).error, 'size');
  assert.equal(split(['"12345678""12345678"'], 10).texts.length, 2);
  assert.equal(split([' '.repeat(100)], 10).error, null);
});

test('long numbers are marked, also across pieces, and not those in strings', () => {
  const long = (pieces: string[]): boolean[] => {
    const splitter = new JsonSplitter();
    const marks: boolean[] = [];
    for (const piece of pieces) {
      splitter.push(Buffer.from(piece));
      for (let next = splitter.next(); next !== null; next = splitter.next()) marks.push(next.longNumber);
    }
    return marks;
  };
  assert.deepEqual(long(['[123456789012345]', '[1234567890123456]', '[1]']), [false, true, false]);
  assert.deepEqual(long(['{"a":12345678', '90123456}']), [true]);
  assert.deepEqual(long(['["12345678901234567890",12345678,12345678]']), [false]);
});

test('the end: a number at top level ends with the stream, anything else is broken', () => {
  const end = (text: string): [string | null, JsonStreamError | null] => {
    const splitter = new JsonSplitter();
    splitter.push(Buffer.from(text));
    assert.equal(splitter.next(), null);
    return [splitter.end()?.text ?? null, splitter.error];
  };
  assert.deepEqual(end('12'), ['12', null]);
  assert.deepEqual(end(' '), [null, null]);
  assert.deepEqual(end('{"a":12'), [null, 'syntax']);
  assert.deepEqual(end('"a'), [null, 'syntax']);
});

test('the bytes of a piece may be used again once it is consumed', () => {
  const splitter = new JsonSplitter();
  const bytes = Buffer.from('{"a":"hel');
  splitter.push(bytes);
  assert.equal(splitter.next(), null);
  bytes.fill(0);
  splitter.push(Buffer.from('lo"}'));
  assert.equal(splitter.next()?.text, '{"a":"hello"}');
  assert.equal(splitter.partial, false);
});

test('property: any values, any boundaries', () => {
  const values = fc.array(fc.tuple(fc.json(), fc.constantFrom(' ', '\n', '\r\n\t ')), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(values, fc.array(fc.nat(), { maxLength: 20 }), (pairs, cuts) => {
      const bytes = Buffer.from(pairs.map(([json, space]) => json + space).join(''));
      const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      const pieces = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
      const { texts, error } = split(pieces);
      assert.equal(error, null);
      assert.deepEqual(
        texts.map((text) => JSON.parse(text) as unknown),
        pairs.map(([json]) => JSON.parse(json) as unknown),
      );
    }),
    { numRuns: 500 },
  );
});

test('property: each byte is looked at once, however the value is cut', () => {
  // The number of pieces must not change the result nor, being linear, take noticeable time: 256 KiB in pieces of one byte.
  const bytes = Buffer.from(`{"a":"${'x'.repeat(256 * 1024)}"}`);
  const splitter = new JsonSplitter();
  let found = 0;
  for (let index = 0; index < bytes.length; index++) {
    splitter.push(bytes.subarray(index, index + 1));
    if (splitter.next() !== null) found++;
  }
  assert.equal(found, 1);
});
