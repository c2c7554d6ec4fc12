// Copies and fills against Uint8Array as the model, since the fast path is a native call that checks nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SpdkError } from './errors.ts';
import { ffi } from './ffi.ts';
import { alignedOffset, copyBytes, fillBytes, makeSegment, SegmentTable } from './segment.ts';

const SIZE = 4096;

test('copyBytes and fillBytes do what Uint8Array does, overlaps included, and never touch more', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.nat(SIZE),
      fc.nat(SIZE),
      fc.oneof(fc.nat(80), fc.nat(SIZE)),
      fc.nat(255),
      (same, to, from, length, value) => {
        const bytes = Math.min(length, SIZE - to, SIZE - from);
        const a = makeSegment(1, new SharedArrayBuffer(SIZE));
        const b = same ? a : makeSegment(2, new SharedArrayBuffer(SIZE));
        for (let at = 0; at < SIZE; at++) a.u8[at] = (at * 7 + (at >> 8)) & 255;
        const source = Uint8Array.from(a.u8);
        const expected = Uint8Array.from(b.u8);
        expected.set(source.subarray(from, from + bytes), to);
        copyBytes(b, to, a, from, bytes);
        assert.deepEqual(Uint8Array.from(b.u8), expected);
        fillBytes(b, to, bytes, value);
        expected.fill(value, to, to + bytes);
        assert.deepEqual(Uint8Array.from(b.u8), expected);
      },
    ),
    { numRuns: 300 },
  );
});

test('ranges of several native calls keep their bytes, whichever way they overlap', () => {
  const bytes = 2_500_001;
  for (const [to, from] of [
    [300_000, 0],
    [0, 300_000],
  ]) {
    const segment = makeSegment(1, new SharedArrayBuffer(3_000_000));
    const words = new Uint32Array(segment.sab);
    for (let at = 0; at < words.length; at++) words[at] = at * 2654435761;
    const expected = segment.u8.slice();
    expected.copyWithin(to, from, from + bytes);
    copyBytes(segment, to, segment, from, bytes);
    assert.equal(Buffer.compare(segment.u8, expected), 0);
    fillBytes(segment, to, bytes, 9);
    expected.fill(9, to, to + bytes);
    assert.equal(Buffer.compare(segment.u8, expected), 0);
  }
});

test('a range outside its segment throws ERANGE and changes nothing', () => {
  const a = makeSegment(1, new SharedArrayBuffer(SIZE));
  const b = makeSegment(2, new SharedArrayBuffer(64));
  b.u8.fill(7);
  for (const act of [
    () => copyBytes(a, SIZE - 10, b, 0, 40),
    () => copyBytes(a, 0, b, 40, 40),
    () => copyBytes(a, -1, b, 0, 40),
    () => copyBytes(a, 0, b, 0, -1),
    () => copyBytes(a, Number.NaN, b, 0, 40),
    () => fillBytes(a, SIZE, 1, 9),
  ]) {
    assert.throws(act, (error: SpdkError) => error instanceof SpdkError && error.code === 'ERANGE');
  }
  assert.ok(a.u8.every((byte) => byte === 0));
});

test('the table knows what is attached', () => {
  const table = new SegmentTable();
  const segment = table.attach(3, new SharedArrayBuffer(SIZE));
  assert.equal(table.get(3), segment);
  assert.throws(() => table.attach(3, segment.sab), { code: 'EEXIST' });
  table.detach(3);
  assert.equal(table.count, 0);
  assert.throws(() => table.get(3), { code: 'ENOENT' });
  assert.throws(() => table.detach(3), { code: 'ENOENT' });
});

test('alignedOffset gives an offset whose address is aligned', () => {
  const segment = makeSegment(1, new SharedArrayBuffer(65536));
  for (const from of [0, 1, 4096, 5000]) {
    const offset = alignedOffset(segment, 4096, from);
    assert.equal((segment.address + offset) % 4096, 0);
    assert.ok(offset >= from && offset < from + 4096);
  }
});

test('the address is that of the bytes', { skip: ffi === null }, () => {
  const segment = makeSegment(1, new SharedArrayBuffer(65536));
  const view = new Uint8Array(ffi!.viewOf(segment.address + 100, 16));
  segment.u8[103] = 42;
  assert.equal(view[3], 42);
});
