// Parameters against their schema: the type a handler sees, ranges, and that no digit is lost silently.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeParams, type ParamsOf } from './params.ts';
import { RPC_INVALID_PARAMS, RpcError } from './rpc-error.ts';

// SPDK's json_util unit tests, as far as they concern decoding parameters: test_num_to_uint16, test_num_to_int32,
// test_num_to_uint64, test_decode_object, test_decode_array, test_decode_bool, test_decode_uint16, test_decode_int32,
// test_decode_uint32, test_decode_uint64, test_decode_string, test_decode_uuid. Not here: test_strequal, test_find,
// test_find_array, test_iterating and test_free_object test helpers for C's flat value arrays; JavaScript has objects.

const invalid =
  (detail: RegExp) =>
  (error: unknown): boolean =>
    error instanceof RpcError &&
    error.code === RPC_INVALID_PARAMS &&
    error.text === 'Invalid parameters' &&
    detail.test(String(error.data));

const one =
  (type: 'uint8' | 'uint16' | 'uint32' | 'int32' | 'int64' | 'uint64' | 'uint64big' | 'double') => (value: unknown) =>
    decodeParams([{ name: 'v', type, required: true }], { v: value }).v;

test('the type of the handler follows the schema', () => {
  const schema = [
    { name: 'name', type: 'string', required: true },
    { name: 'size', type: 'uint64', default: 1 },
    { name: 'big', type: 'uint64big' },
    { name: 'mode', type: 'enum', values: ['a', 'b'] },
    { name: 'list', type: 'array', items: { type: 'uint16' } },
    { name: 'sub', type: 'object', fields: [{ name: 'x', type: 'boolean', required: true }] },
  ] as const;
  const params: ParamsOf<typeof schema> = decodeParams(schema, {
    name: 'n',
    sub: { x: true },
    list: [1, 2],
    mode: 'B',
  });
  const name: string = params.name;
  const size: number = params.size;
  const mode: 'a' | 'b' | undefined = params.mode;
  const x: boolean | undefined = params.sub?.x;
  const list: number[] | undefined = params.list;
  // @ts-expect-error there is no such parameter
  const nothing: unknown = params.other;
  assert.deepEqual([name, size, mode, x, list, nothing, params.big], ['n', 1, 'b', true, [1, 2], undefined, undefined]);
});

test('num_to_uint16, decode_uint16: range and integrality', () => {
  const decode = one('uint16');
  for (const value of [0, 1, 1e2, 65535, -0]) assert.equal(decode(value), value === 0 ? 0 : value);
  assert.ok(Object.is(decode(-0), 0));
  for (const value of [-1, 65536, 1.5, '1', null, true, [], {}, 1e300])
    assert.throws(() => decode(value), invalid(/'v'/));
});

test('num_to_int32, decode_int32', () => {
  const decode = one('int32');
  for (const value of [-2147483648, -1, 0, 2147483647]) assert.equal(decode(value), value);
  for (const value of [-2147483649, 2147483648, 0.1]) assert.throws(() => decode(value), invalid(/'v'/));
});

test('decode_uint32 and uint8', () => {
  assert.equal(one('uint32')(4294967295), 4294967295);
  assert.throws(() => one('uint32')(4294967296), invalid(/goes from 0 to 4294967295/));
  assert.equal(one('uint8')(255), 255);
  assert.throws(() => one('uint8')(256), invalid(/uint8/));
});

test('num_to_uint64, decode_uint64: digits are never lost silently', () => {
  const decode = one('uint64');
  assert.equal(decode(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
  assert.equal(decode(String(Number.MAX_SAFE_INTEGER)), Number.MAX_SAFE_INTEGER);
  assert.equal(decode(12n), 12);
  for (const value of [
    2 ** 53,
    JSON.parse('9007199254740993'),
    9007199254740993n,
    '9007199254740993',
    -1,
    '-1',
    '1.0',
    '',
  ]) {
    assert.throws(() => decode(value), invalid(/'v'/), String(value));
  }
});

test('int64 and double: signs and fractions, as numbers and as text', () => {
  const [int64, double] = [one('int64'), one('double')];
  for (const value of [0, -8, 5, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
    for (const decode of [int64, double]) assert.deepEqual([decode(value), decode(String(value))], [value, value]);
  }
  for (const value of [0.5, '0.5', '1e3', '', ' ', '-', 'x', null, true, [], {}, 2 ** 53, '-9007199254740993']) {
    assert.throws(() => int64(value), invalid(/'v'/), String(value));
  }
  assert.deepEqual([double(0.25), double('-0.25'), double('1e3')], [0.25, -0.25, 1000]);
  for (const value of ['', ' ', 'x', '1x', 'Infinity', null, true, [], {}]) {
    assert.throws(() => double(value), invalid(/'v' must be double/), String(value));
  }
});

test('uint64big keeps all 64 bits', () => {
  const decode = one('uint64big');
  for (const value of [0, 5, 18446744073709551615n, '18446744073709551615']) assert.equal(decode(value), BigInt(value));
  for (const value of [18446744073709551616n, -1n, -1, 2 ** 53, 0.5, '0x10', 'x', null]) {
    assert.throws(() => decode(value), invalid(/18446744073709551615/), String(value));
  }
});

test('decode_bool, decode_string', () => {
  const schema = [
    { name: 'b', type: 'boolean' },
    { name: 's', type: 'string' },
  ] as const;
  assert.deepEqual(decodeParams(schema, { b: false, s: '' }), { b: false, s: '' });
  for (const bad of [{ b: 0 }, { b: 'true' }, { b: null }, { s: 1 }, { s: null }, { s: ['x'] }]) {
    assert.throws(() => decodeParams(schema, bad), invalid(/'[bs]' must be (boolean|string)/));
  }
});

test('decode_uuid: canonical form in any case', () => {
  const schema = [{ name: 'u', type: 'uuid', required: true }] as const;
  const uuid = 'E524ACAE-8C26-43E4-882A-461B8690583B';
  assert.equal(decodeParams(schema, { u: uuid }).u, uuid.toLowerCase());
  for (const bad of [uuid.slice(1), `${uuid}0`, uuid.replaceAll('-', ''), 'E524ACAE-8C26-43E4-882A-461B8690583X', 1]) {
    assert.throws(() => decodeParams(schema, { u: bad }), invalid(/must be uuid/));
  }
});

test('decode_array: elements, their number, their types', () => {
  const schema = [{ name: 'a', type: 'array', items: { type: 'int32' }, max: 3 }] as const;
  assert.deepEqual(decodeParams(schema, { a: [] }), { a: [] });
  assert.deepEqual(decodeParams(schema, { a: [1, -2, 3] }), { a: [1, -2, 3] });
  assert.throws(() => decodeParams(schema, { a: [1, 2, 3, 4] }), invalid(/4 elements; at most 3/));
  assert.throws(() => decodeParams(schema, { a: [1, 'x'] }), invalid(/'a\[1\]'/));
  assert.throws(() => decodeParams(schema, { a: { 0: 1 } }), invalid(/must be an array/));
});

test('decode_object: required, default, unknown, nested, and what is no object', () => {
  const schema = [
    { name: 'first', type: 'string', required: true },
    { name: 'second', type: 'uint32', default: 7 },
    { name: 'inner', type: 'object', fields: [{ name: 'x', type: 'uint16', required: true }] },
    { name: 'free', type: 'object' },
  ] as const;
  assert.deepEqual(decodeParams(schema, { first: 'a' }), { first: 'a', second: 7 });
  assert.deepEqual(decodeParams(schema, { first: 'a', second: 8, free: { q: 1 } }), {
    first: 'a',
    second: 8,
    free: { q: 1 },
  });
  assert.throws(() => decodeParams(schema, {}), invalid(/'first' is required/));
  assert.throws(() => decodeParams(schema, null), invalid(/'first' is required/));
  assert.throws(() => decodeParams(schema, { first: 'a', third: 1 }), invalid(/unknown parameter 'third'/));
  assert.throws(() => decodeParams(schema, { first: 'a', inner: {} }), invalid(/'inner\.x' is required/));
  assert.throws(() => decodeParams(schema, { first: 'a', inner: { x: 1, y: 2 } }), invalid(/'inner\.y'/));
  for (const bad of [[], ['a'], 'a', 1, true])
    assert.throws(() => decodeParams(schema, bad), invalid(/must be an object/));
});

test('names of Object.prototype are ordinary names', () => {
  const schema = [{ name: 'x', type: 'string' }] as const;
  for (const text of ['{"__proto__":{"x":"y"}}', '{"constructor":1}', '{"toString":1}']) {
    assert.throws(() => decodeParams(schema, JSON.parse(text)), invalid(/unknown parameter/));
  }
  const required = [{ name: 'toString', type: 'string', required: true }] as const;
  assert.throws(() => decodeParams(required, {}), invalid(/required/));
});

test('an enum value matches without case, and comes out as declared', () => {
  const schema = [{ name: 'level', type: 'enum', values: ['ERROR', 'DEBUG'], required: true }] as const;
  assert.equal(decodeParams(schema, { level: 'debug' }).level, 'DEBUG');
  assert.throws(() => decodeParams(schema, { level: 'LOUD' }), invalid(/one of: ERROR DEBUG/));
  assert.throws(() => decodeParams(schema, { level: 1 }), invalid(/one of/));
});

test('a deprecated parameter is reported', () => {
  const seen: string[] = [];
  const schema = [{ name: 'old', type: 'string', deprecated: 'use new' }] as const;
  decodeParams(schema, {}, (param) => seen.push(param.name));
  assert.equal(seen.length, 0);
  decodeParams(schema, { old: 'x' }, (param) => seen.push(param.name));
  assert.deepEqual(seen, ['old']);
});

test('what a peer sent is shown short', () => {
  try {
    decodeParams([{ name: 'b', type: 'boolean' }], { b: 'x'.repeat(10_000) });
    assert.fail('accepted');
  } catch (error) {
    assert.ok(error instanceof RpcError && String(error.data).length < 200);
  }
});
