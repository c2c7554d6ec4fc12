/** The guard against known values and a CRC that goes bit by bit: a table with one wrong entry would let damage pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc16T10dif } from './crc16-t10dif.ts';
import { bitwiseCrc } from './dif-reference.sim.ts';

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

test('the check value of CRC-16/T10-DIF, and blocks of the standards', () => {
  assert.equal(crc16T10dif(0, viewOf(new TextEncoder().encode('123456789')), 0, 9), 0xd0db);
  // The test cases of SBC-4, 4.22.4: 32 bytes of zeroes, of ones, counted up, two of ones before zeroes, counted down.
  assert.equal(crc16T10dif(0, viewOf(new Uint8Array(32)), 0, 32), 0);
  assert.equal(crc16T10dif(0, viewOf(new Uint8Array(32).fill(0xff)), 0, 32), 0xa293);
  assert.equal(crc16T10dif(0, viewOf(Uint8Array.from({ length: 32 }, (_, i) => i)), 0, 32), 0x0224);
  assert.equal(crc16T10dif(0, viewOf(Uint8Array.from({ length: 32 }, (_, i) => (i < 2 ? 0xff : 0))), 0, 32), 0x21b8);
  assert.equal(crc16T10dif(0, viewOf(Uint8Array.from({ length: 32 }, (_, i) => 0xff - i)), 0, 32), 0xa0b7);
  assert.equal(crc16T10dif(0x1234, viewOf(new Uint8Array(0)), 0, 0), 0x1234, 'nothing');
});

test('at any offset and length, in one piece or two, it is the bitwise CRC', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(40),
      fc.nat(300),
      fc.nat(0xffff),
      (bytes, skip, cut, seed) => {
        const offset = Math.min(skip, bytes.length);
        const length = bytes.length - offset;
        const first = Math.min(cut, length);
        const expected = bitwiseCrc(seed, bytes.subarray(offset));
        const view = viewOf(bytes);
        assert.equal(crc16T10dif(seed, view, offset, length), expected);
        const half = crc16T10dif(seed, view, offset, first);
        assert.equal(crc16T10dif(half, view, offset + first, length - first), expected);
      },
    ),
    { numRuns: 400 },
  );
});

test('every byte at every place of a step counts', () => {
  const bytes = new Uint8Array(32);
  for (let at = 0; at < 32; at++) {
    for (let value = 0; value < 256; value++) {
      bytes[at] = value;
      assert.equal(crc16T10dif(0xffff, viewOf(bytes), 0, 32), bitwiseCrc(0xffff, bytes), `${value} at ${at}`);
    }
    bytes[at] = 0;
  }
});
