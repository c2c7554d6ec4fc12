// The JSON reader. Names such as parse_literal are those of SPDK's unit tests.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { parseJson, stringifyJson } from './json.ts';

// SPDK's json_parse unit tests, all eleven: test_parse_literal, test_parse_string_simple, test_parse_string_control_chars,
// test_parse_string_utf8 (in json-splitter.test.ts: here text is decoded already), test_parse_string_escapes_twochar,
// test_parse_string_escapes_unicode, test_parse_number, test_parse_array, test_parse_object, test_parse_nesting, test_parse_comment.
// And json_write: test_write_literal, test_write_string_simple, test_write_string_escapes, test_write_number_int32, _uint32,
// _int64, _uint64, _uint128, _double, test_write_uuid, test_write_array, test_write_object, test_write_nesting, test_write_val.
// Not here: test_write_string_utf16le, test_write_string_number_uint128, test_write_reset and test_object_end_fail test C's
// step-by-step writer; here a whole value is written at once.

const fails = (text: string, message = /JSON: .* at line \d+, column \d+/, options = {}): void =>
  assert.throws(
    () => parseJson(text, options),
    (error) => error instanceof SpdkError && error.code === 'EINVAL' && message.test(error.message),
    text,
  );

/** Bigints as the doubles JSON.parse would have made. */
function rounded(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(rounded);
  if (typeof value !== 'object' || value === null) return value;
  const out = {};
  for (const [key, member] of Object.entries(value)) {
    Object.defineProperty(out, key, { value: rounded(member), enumerable: true, configurable: true, writable: true });
  }
  return out;
}

test('parse_literal', () => {
  assert.deepEqual([parseJson('true'), parseJson(' false '), parseJson('null')], [true, false, null]);
  for (const bad of ['tru', 'trueX', 'True', 'nul', '', ' ', 'true false', 'undefined']) fails(bad);
});

test('parse_string: simple, control characters, escapes', () => {
  assert.equal(parseJson('""'), '');
  assert.equal(parseJson('"hello world"'), 'hello world');
  assert.equal(parseJson('"\\b\\f\\n\\r\\t\\"\\\\\\/"'), '\b\f\n\r\t"\\/');
  assert.equal(parseJson('"\\u0041\\u00e9\\ud83d\\ude00"'), 'Aé😀');
  assert.equal(parseJson('"\x7f"'), '\x7f');
  for (const bad of ['"', '"abc', '"\x00"', '"a\nb"', '"\\q"', '"\\u12"', '"\\u12x4"', '"\\', '"abc\\"', "'a'"])
    fails(bad);
});

test('parse_number: grammar, and no digit lost', () => {
  for (const good of ['0', '-0', '1', '-1', '123456789', '0.5', '-0.5', '1e5', '1E+5', '1.5e-3', '9007199254740991']) {
    assert.equal(parseJson(good), Number(good));
  }
  for (const bad of ['01', '-', '+1', '.5', '1.', '1e', '1e+', '0x10', '1.5.5', '--1', 'Infinity', 'NaN', '1_000'])
    fails(bad);
  assert.equal(parseJson('9007199254740992'), 9007199254740992n);
  assert.equal(parseJson('18446744073709551615'), 18446744073709551615n);
  assert.equal(parseJson('-9223372036854775808'), -9223372036854775808n);
  assert.equal(parseJson('340282366920938463463374607431768211455'), 2n ** 128n - 1n);
});

test('parse_array, parse_object', () => {
  assert.deepEqual(parseJson(' [ ] '), []);
  assert.deepEqual(parseJson('[1, "a" ,[true,[]],{}]'), [1, 'a', [true, []], {}]);
  assert.deepEqual(parseJson('{"a":1,"b":{"c":[null]}}'), { a: 1, b: { c: [null] } });
  assert.deepEqual(parseJson('{"a":1,"a":2}'), { a: 2 });
  for (const bad of [
    '[',
    ']',
    '[1',
    '[1,',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{',
    '}',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,}',
    '{a:1}',
    '{1:1}',
    '{"a" 1}',
    '[}',
    '{]',
  ]) {
    fails(bad);
  }
});

test('__proto__ is a name like any other', () => {
  const value = parseJson('{"__proto__":{"x":1}}') as object;
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.deepEqual(Object.keys(value), ['__proto__']);
});

test('parse_nesting', () => {
  const max = limits.json_nesting_max;
  assert.doesNotThrow(() => parseJson('['.repeat(max) + ']'.repeat(max)));
  fails('['.repeat(max + 1) + ']'.repeat(max + 1), /more than 64 levels/);
  fails('{"a":'.repeat(max + 1), /more than 64 levels/);
});

test('parse_comment: only where asked, wherever white space may stand', () => {
  const text = '// first\n{ /* a */ "a" /**/ : // b\n [ 1 /* , */ , 2 ] /* * / */ } // last';
  assert.deepEqual(parseJson(text, { comments: true }), { a: [1, 2] });
  fails(text);
  const options = { comments: true };
  assert.equal(parseJson('"// not a comment"', options), '// not a comment');
  for (const bad of ['/', '/ 1', '/* 1', '/*/ 1', '1 /', '[1 / 2]', '// only', 'tr/**/ue']) fails(bad, /JSON/, options);
});

test('errors say where', () => {
  fails('{\n  "a": 1,\n  "b" 2\n}', /':' is missing at line 3, column 7/);
});

test('property: as JSON.parse, for whatever JSON.parse takes', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.deepEqual(rounded(parseJson(text)), JSON.parse(text));
    }),
  );
});

test('property: garbage either parses alike or throws EINVAL', () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '"a"',
    '1',
    '-',
    'e',
    '.',
    'true',
    'null',
    ' ',
    '\n',
    '/',
    '*',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      let expected: unknown;
      try {
        expected = JSON.parse(text);
      } catch {
        fails(text);
        return;
      }
      assert.deepEqual(parseJson(text), expected);
    }),
    { numRuns: 2000 },
  );
});

test('write: as JSON.stringify', () => {
  const value = {
    a: [1, -2.5, true, null, 'q"\\\n\u0001é'],
    b: {},
    c: [],
    d: undefined,
    e: [undefined],
    f: { g: [[]] },
  };
  assert.equal(stringifyJson(value), JSON.stringify(value));
  assert.equal(stringifyJson(value, 2), JSON.stringify(value, undefined, 2));
  assert.equal(stringifyJson(undefined), 'null');
  for (const number of [-2147483648, 2147483647, 4294967295, 0, 1.5, 1e21]) {
    assert.equal(JSON.parse(stringifyJson(number)), number);
  }
  const uuid = '00000000-0000-0000-0000-000000000000';
  assert.equal(stringifyJson(uuid), `"${uuid}"`);
});

test('write: bigints are integers, and nothing else changes', () => {
  assert.equal(stringifyJson(2n ** 64n - 1n), '18446744073709551615');
  assert.equal(stringifyJson([-(2n ** 63n), 2n ** 128n - 1n]), `[${-(2n ** 63n)},${2n ** 128n - 1n}]`);
  const rest = {
    a: ['\u00001\u0000', { toJSON: () => 'j' }, undefined, new Date(0)],
    b: undefined,
    c: {},
    d: [],
    e: { f: () => 1 },
  };
  for (const indent of [0, 2]) {
    const expected = JSON.stringify({ n: 123456, ...rest }, undefined, indent);
    assert.equal(stringifyJson({ n: 123456n, ...rest }, indent), expected);
  }
});

test('property: what is written with bigints is read back', () => {
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.bigInt({ min: 2n ** 53n }),
      fc.string(),
      fc.array(tie('value')),
      fc.dictionary(fc.string(), tie('value')),
    ),
  }));
  fc.assert(
    fc.property(value, fc.constantFrom(0, 2), (written, indent) => {
      assert.equal(stringifyJson(parseJson(stringifyJson(written, indent))), stringifyJson(written));
    }),
  );
});
