/** Check values of the two CRCs, and pieces: a wrong one would call every foreign table corrupt, or write such tables. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32, crc32c, crc32cUpdate } from './crc32.ts';

function bitwise(polynomial: number, bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const out = (crc ^ (byte >> bit)) & 1;
      crc >>>= 1;
      if (out === 1) crc ^= polynomial;
    }
  }
  return ~crc >>> 0;
}

test('the check values', () => {
  const digits = new TextEncoder().encode('123456789');
  assert.equal(crc32(digits), 0xcbf43926);
  assert.equal(crc32c(digits), 0xe3069283);
  // RFC 3720, B.4: 32 bytes of zeroes.
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32(new Uint8Array(0)), 0);
  assert.equal(crc32cUpdate(new Uint8Array(99), 0), 0, 'zeroes do not show in the bare register');
});

test('whole, in pieces and from the bare register, they are the bitwise CRC', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(80), (bytes, cut) => {
      const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut)];
      assert.equal(crc32(bytes), bitwise(0xedb88320, bytes));
      assert.equal(crc32(second, crc32(first)), crc32(bytes));
      assert.equal(crc32c(bytes), bitwise(0x82f63b78, bytes));
      assert.equal(crc32c(second, crc32c(first)), crc32c(bytes));
      assert.equal(~crc32cUpdate(second, crc32cUpdate(first, 0xffffffff)) >>> 0, crc32c(bytes));
    }),
  );
});
