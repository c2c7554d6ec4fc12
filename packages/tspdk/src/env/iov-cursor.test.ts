/** The cursor against a byte-by-byte layout: a mistake here would transfer to the wrong memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IovCursor } from './iov-cursor.ts';
import { IoVecs } from './iovecs.ts';
import { makeSegment } from './segment.ts';

/** Pieces of random sizes, one after the other with gaps, and where each byte of the whole lies. */
function layout(sizes: readonly number[]) {
  const segment = makeSegment(1, new SharedArrayBuffer(65536));
  const iovs = new IoVecs(sizes.length);
  const places: number[] = [];
  let at = 4096;
  for (const bytes of sizes) {
    iovs.push(segment, at, bytes);
    for (let i = 0; i < bytes; i++) places.push(at + i);
    at += bytes + 3;
  }
  return { segment, iovs, places };
}

test('from any place on, pieces, iovecs and copies are those of the rest', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.nat(30), { maxLength: 5 }),
      (sizes, steps) => {
        const { segment, iovs, places } = layout(sizes);
        const cursor = new IovCursor();
        cursor.start(iovs);
        let done = 0;
        for (const step of steps) {
          const bytes = Math.min(step, places.length - done);
          cursor.advance(bytes);
          done += bytes;
        }
        if (done === places.length) return assert.equal(cursor.pieces, 0);
        assert.equal(cursor.offset, places[done]);
        const words = new Int32Array(4 * 8);
        const count = cursor.fill(words, 8);
        assert.equal(count, cursor.pieces);
        let total = 0;
        for (let i = 0; i < count; i++) {
          const address = (words[i * 4] >>> 0) + (words[i * 4 + 1] >>> 0) * 2 ** 32;
          if (words[i * 4 + 2] > 0) assert.equal(address - segment.address, places[done + total]);
          total += words[i * 4 + 2];
        }
        assert.equal(total, places.length - done);
        assert.equal(cursor.bytes, words[2]);
        const other = makeSegment(2, new SharedArrayBuffer(512));
        for (let i = 0; i < 512; i++) other.u8[i] = i + 1;
        cursor.copy(true, other, 5, total);
        for (const [i, place] of places.entries()) {
          assert.equal(segment.u8[place], i < done ? 0 : (i - done + 6) & 255);
        }
        other.u8.fill(0);
        cursor.copy(false, other, 9, total);
        for (let i = 0; i < total; i++) assert.equal(other.u8[9 + i], (i + 6) & 255);
      },
    ),
    { numRuns: 500 },
  );
});
