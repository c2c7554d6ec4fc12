/**
 * Protection information in a buffer of its own, as dif.test.ts (SPDK's unit tests `dix_*` of lib/util/dif.c, but for the wider guards).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Random } from '../../env/random.ts';
import { EINVAL, EIO } from '../status.ts';
import { DIF_DISABLE, DIF_TYPE3 } from './dif-context.ts';
import { DIF_APPTAG_ERROR, DIF_DATA_ERROR, DIF_GUARD_ERROR, DIF_REFTAG_ERROR, DifError } from './dif-error.ts';
import { dixInjectError } from './dif-inject.ts';
import {
  arbitraryCuts,
  arbitraryOptions,
  contextOf,
  pattern,
  plain,
  referenceGenerate,
  referenceVerify,
  Scattered,
} from './dif-reference.sim.ts';
import { dixGenerate, dixRemapRefTag, dixVerify } from './dix.ts';

const separate = { ...plain, mdInterleave: false, blockSizeBytes: 4096, mdSizeBytes: 128 };

test('any format, splits and damage: the bytes and the error are those of the reference (prchk, splits)', () => {
  fc.assert(
    fc.property(
      arbitraryOptions(false),
      fc.integer({ min: 1, max: 4 }),
      arbitraryCuts,
      arbitraryCuts,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }),
      fc.boolean(),
      (options, blocks, cuts, mdCuts, damage, inMd) => {
        const bytes = pattern(blocks * options.blockSizeBytes + 1);
        const mdBytes = pattern(blocks * options.mdSizeBytes + 2).map((byte) => byte ^ 0x3c);
        const data = new Scattered(bytes, cuts);
        const md = new Scattered(mdBytes, mdCuts, 3);
        const ctx = contextOf(options);
        assert.equal(dixGenerate(data.iovs, md.iovs, blocks, ctx), 0);
        referenceGenerate(options, bytes, mdBytes, blocks);
        assert.deepEqual(md.read(), mdBytes);
        assert.deepEqual(data.read(), bytes);
        for (const [where, value] of damage) {
          const of = inMd ? mdBytes : bytes;
          of[where % of.length] ^= value;
        }
        data.write(bytes);
        md.write(mdBytes);
        const error = new DifError();
        const rc = dixVerify(data.iovs, md.iovs, blocks, ctx, error);
        const expected = referenceVerify(options, bytes, mdBytes, blocks);
        assert.equal(rc, expected === null ? 0 : EIO);
        assert.deepEqual({ ...error }, expected ?? { ...new DifError() });
        assert.ok(data.gapsIntact() && md.gapsIntact());
      },
    ),
    { numRuns: 250 },
  );
});

test('an injected bit is found where it was put (inject_1_2_4_8)', () => {
  const random = new Random(11);
  for (const difIsHeadOfMd of [false, true]) {
    for (const flag of [DIF_REFTAG_ERROR, DIF_APPTAG_ERROR, DIF_GUARD_ERROR, DIF_DATA_ERROR]) {
      for (const mdCuts of [[], [121, 2, 2, 2, 120], [3, 127]]) {
        const ctx = contextOf({ ...separate, difIsHeadOfMd });
        const data = new Scattered(pattern(8192), [4000, 200]);
        const md = new Scattered(new Uint8Array(256), mdCuts);
        assert.equal(dixGenerate(data.iovs, md.iovs, 2, ctx), 0);
        const block = dixInjectError(data.iovs, md.iovs, 2, ctx, flag, random);
        const error = new DifError();
        assert.equal(dixVerify(data.iovs, md.iovs, 2, ctx, error), EIO);
        assert.equal(error.errOffset, block);
        assert.equal(error.errType, flag === DIF_DATA_ERROR ? DIF_GUARD_ERROR : flag);
      }
    }
  }
});

test('reference tags follow blocks that move (remap)', () => {
  for (const difIsHeadOfMd of [false, true]) {
    const options = { ...separate, difIsHeadOfMd };
    const ctx = contextOf(options);
    const data = new Scattered(pattern(8192), []);
    const md = new Scattered(pattern(256), [3, 5, 119, 3, 3]);
    dixGenerate(data.iovs, md.iovs, 2, ctx);
    const expected = md.read();
    ctx.setRemappedInitRefTag(99);
    assert.equal(dixRemapRefTag(md.iovs, 2, ctx, null), 0);
    referenceGenerate({ ...options, initRefTag: 99 }, data.read(), expected, 2);
    assert.deepEqual(md.read(), expected);
    const error = new DifError();
    assert.equal(dixRemapRefTag(md.iovs, 2, ctx, error), EIO);
    assert.deepEqual({ ...error }, { errType: DIF_REFTAG_ERROR, expected: 22, actual: 99, errOffset: 0 });
  }
  const md = new Scattered(pattern(256), []);
  assert.equal(dixRemapRefTag(md.iovs, 2, contextOf({ ...separate, difType: DIF_TYPE3 }), null), 0);
  assert.deepEqual(md.read(), pattern(256));
});

test('disabled, too short, or of the other kind: nothing is touched (dix_sec_512_md_0_error and others)', () => {
  const data = new Scattered(pattern(8192), []);
  const short = new Scattered(pattern(8191), []);
  const md = new Scattered(pattern(256), []);
  const shortMd = new Scattered(pattern(255), []);
  const ctx = contextOf(separate);
  const off = contextOf({ ...separate, difType: DIF_DISABLE });
  assert.equal(dixGenerate(data.iovs, md.iovs, 2, off), 0);
  assert.equal(dixVerify(data.iovs, md.iovs, 2, off, null), 0);
  for (const [d, m] of [
    [short, md],
    [data, shortMd],
  ]) {
    assert.equal(dixGenerate(d.iovs, m.iovs, 2, ctx), EINVAL);
    assert.equal(dixVerify(d.iovs, m.iovs, 2, ctx, null), EINVAL);
    assert.equal(dixInjectError(d.iovs, m.iovs, 2, ctx, DIF_DATA_ERROR, new Random(1)), EINVAL);
  }
  assert.equal(dixRemapRefTag(shortMd.iovs, 2, ctx, null), EINVAL);
  assert.equal(dixGenerate(data.iovs, md.iovs, 2, contextOf()), EINVAL, 'interleaved');
  assert.equal(dixVerify(data.iovs, md.iovs, 2, contextOf(), null), EINVAL);
  assert.deepEqual(md.read(), pattern(256));
});
