/** XOR of pieces against bytes, however they lie; and the stripe's pieces that it is made of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EINVAL, ENOMEM } from '../../../bdev/status.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import { makeSegment, type Segment } from '../../../env/segment.ts';
import { mapStripeIovs } from './stripe-iovs.ts';
import { XorPieces, xorInto, xorOf } from './xor.ts';

function noise(bytes: number, seed: number): Segment {
  const segment = makeSegment(1, new SharedArrayBuffer(bytes));
  for (let i = 0; i < bytes; i++) segment.u8[i] = (Math.imul(i + 1, 2654435761 ^ (seed * 40503)) >>> 13) & 255;
  return segment;
}

const offset = fc.oneof(fc.nat(8), fc.constantFrom(0, 4, 64));

test('xorInto and xorOf touch their range alone, at any alignment and length', () => {
  fc.assert(
    fc.property(offset, offset, offset, fc.nat(300), (to, a, b, bytes) => {
      const [d, s, t] = [noise(400, 1), noise(400, 2), noise(400, 3)];
      const before = Uint8Array.from(d.u8);
      const expected = before.slice();
      for (let i = 0; i < bytes; i++) expected[to + i] ^= s.u8[a + i];
      xorInto(d, to, s, a, bytes);
      assert.deepEqual(Uint8Array.from(d.u8), expected);
      for (let i = 0; i < bytes; i++) expected[to + i] = s.u8[a + i] ^ t.u8[b + i];
      xorOf(d, to, s, a, t, b, bytes);
      assert.deepEqual(Uint8Array.from(d.u8), expected);
      xorInto(d, to, d, to, bytes);
      assert.ok(
        d.u8.subarray(to, to + bytes).every((byte) => byte === 0),
        'with itself',
      );
    }),
    { numRuns: 400 },
  );
});

/** `bytes` of a segment in pieces of `sizes`, one after the other with gaps. */
function pieces(segment: Segment, bytes: number, sizes: readonly number[]): IoVecs {
  const iovs = new IoVecs(sizes.length + 1);
  let at = 3;
  let left = bytes;
  for (const size of [...sizes, bytes]) {
    const piece = Math.min(size, left);
    iovs.push(segment, at, piece);
    at += piece + 1;
    left -= piece;
  }
  return iovs;
}

function read(iovs: IoVecs): number[] {
  const bytes: number[] = [];
  for (let i = 0; i < iovs.count; i++) {
    bytes.push(...iovs.segment[i]!.u8.subarray(iovs.offset[i], iovs.offset[i] + iovs.bytes[i]));
  }
  return bytes;
}

const cuts = fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 6 });

test('parity of strips that are cut in different ways; a lost strip is the parity of the rest', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 600 }),
      fc.array(cuts, { minLength: 2, maxLength: 5 }),
      cuts,
      (bytes, all, dst) => {
        const strips = all.map((sizes, i) => pieces(noise(bytes + 20, i), bytes, sizes));
        const parity = pieces(noise(bytes + 20, 77), bytes, dst);
        const xor = new XorPieces(6);
        assert.equal(xor.xor(parity, strips, strips.length, bytes), 0);
        const whole = strips.map(read);
        assert.deepEqual(
          read(parity),
          whole[0].map((_, i) => whole.reduce((sum, strip) => sum ^ strip[i], 0)),
        );
        const rest = [...strips.slice(1), parity];
        const rebuilt = pieces(noise(bytes + 20, 9), bytes, dst);
        assert.equal(xor.xor(rebuilt, rest, rest.length, bytes), 0);
        assert.deepEqual(read(rebuilt), whole[0]);
      },
    ),
    { numRuns: 150 },
  );
});

test('strips that are longer than what is worked on at once', () => {
  const bytes = 70_001;
  const strips = [1, 2, 3].map((seed) => pieces(noise(bytes + 20, seed), bytes, [30_000]));
  const parity = pieces(noise(bytes + 20, 4), bytes, []);
  assert.equal(new XorPieces(3).xor(parity, strips, 3, bytes), 0);
  const [a, b, c] = strips.map(read);
  assert.deepEqual(
    read(parity),
    a.map((byte, i) => byte ^ b[i] ^ c[i]),
  );
});

test('lists that are too short, and too few or many of them, are refused', () => {
  const long = pieces(noise(120, 1), 100, []);
  const short = pieces(noise(120, 2), 99, []);
  const before = read(long);
  const xor = new XorPieces(2);
  assert.equal(xor.xor(long, [long, short], 2, 100), EINVAL);
  assert.equal(xor.xor(short, [long, long], 2, 100), EINVAL);
  assert.equal(xor.xor(long, [short], 1, 99), EINVAL);
  assert.equal(xor.xor(long, [short, short, short], 3, 99), EINVAL);
  assert.equal(xor.xor(long, [short], 2, 99), EINVAL);
  assert.deepEqual(read(long), before);
});

test("[test_raid5f_stripe_request_map_iovecs] a stripe's pieces go to its strips in order", () => {
  fc.assert(
    fc.property(
      cuts,
      fc.integer({ min: 1, max: 90 }),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(40),
      (sizes, strip, n, from) => {
        const bytes = from + strip * n + 5;
        const iovs = pieces(noise(bytes + 20, 5), bytes, sizes);
        const out = Array.from({ length: 5 }, () => new IoVecs(8));
        out[0].push(iovs.segment[0]!, 0, 9);
        assert.equal(mapStripeIovs(iovs, from, strip, n, out), 0);
        const whole = read(iovs);
        for (let i = 0; i < n; i++) {
          assert.equal(out[i].totalBytes, strip);
          assert.deepEqual(read(out[i]), whole.slice(from + i * strip, from + (i + 1) * strip));
        }
        assert.equal(out[4].count, 0, 'the others are left alone');
      },
    ),
    { numRuns: 200 },
  );
});

test('pieces that do not fit, or do not suffice, leave the lists empty', () => {
  const iovs = pieces(noise(120, 1), 100, [10, 10, 10]);
  const out = [new IoVecs(4), new IoVecs(1)];
  assert.equal(mapStripeIovs(iovs, 0, 51, 2, out), EINVAL);
  assert.equal(mapStripeIovs(iovs, 1, 50, 2, out), EINVAL);
  assert.equal(mapStripeIovs(iovs, 0, 50, 2, [new IoVecs(3), out[1]]), ENOMEM);
  assert.equal(mapStripeIovs(iovs, 0, 15, 2, out), ENOMEM);
  assert.deepEqual([out[0].count, out[1].count], [0, 0]);
  assert.equal(mapStripeIovs(iovs, 0, 50, 2, out), 0);
});
