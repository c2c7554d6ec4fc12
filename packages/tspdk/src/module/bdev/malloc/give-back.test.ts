/** Pages are given back without touching a byte outside the range. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeSegment } from '../../../env/segment.ts';
import { giveBack } from './give-back.ts';

test('exactly the range reads as zeroes, at any place and length', () => {
  const bytes = 512 * 1024;
  fc.assert(
    fc.property(fc.nat(bytes), fc.nat(bytes), (a, b) => {
      const segment = makeSegment(1, new SharedArrayBuffer(bytes + 4096));
      segment.u8.fill(7);
      const from = Math.min(a, b);
      const to = Math.max(a, b);
      giveBack(segment, from, to - from);
      assert.ok(
        segment.u8.subarray(0, from).every((byte) => byte === 7),
        'before',
      );
      assert.ok(
        segment.u8.subarray(from, to).every((byte) => byte === 0),
        'inside',
      );
      assert.ok(
        segment.u8.subarray(to).every((byte) => byte === 7),
        'behind',
      );
    }),
    { numRuns: 60 },
  );
});
