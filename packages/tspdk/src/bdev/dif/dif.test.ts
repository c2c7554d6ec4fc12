/**
 * Interleaved protection information, against the plain reference and, by name, against what SPDK's unit tests of lib/util/dif.c look at.
 *
 * Of those names, not here: the 32- and 64-bit guards (`*_pi_32`, `*_pi_64`; refused, see dif-context.test.ts), and what serves sockets that receive data
 * straight into extended blocks (`set_md_interleave_iovs*`, `*_stream*`, `dif_*_split`, `update_crc32c*`, `get_range_with_md`): nothing here
 * transfers that way; insert and strip copy (`difGenerateCopy`, `difVerifyCopy`). Those of a metadata buffer are in dix.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Random } from '../../env/random.ts';
import { EINVAL, EIO } from '../status.ts';
import { difGenerate, difGenerateCopy, difRemapRefTag, difVerify, difVerifyCopy } from './dif.ts';
import {
  DIF_APPTAG_IGNORE,
  DIF_DISABLE,
  DIF_FLAGS_APPTAG_CHECK,
  DIF_FLAGS_GUARD_CHECK,
  DIF_FLAGS_REFTAG_CHECK,
  DIF_REFTAG_IGNORE,
  DIF_TYPE1,
  DIF_TYPE2,
  DIF_TYPE3,
  type DifOptions,
} from './dif-context.ts';
import { DIF_APPTAG_ERROR, DIF_DATA_ERROR, DIF_GUARD_ERROR, DIF_REFTAG_ERROR, DifError } from './dif-error.ts';
import { difInjectError } from './dif-inject.ts';
import {
  ALL_CHECKS,
  arbitraryCuts,
  arbitraryOptions,
  contextOf,
  pattern,
  plain,
  referenceGenerate,
  referenceVerify,
  Scattered,
} from './dif-reference.sim.ts';

const FORMATS: Partial<DifOptions>[] = [
  { blockSizeBytes: 512 + 8, mdSizeBytes: 8 },
  { blockSizeBytes: 4096 + 8, mdSizeBytes: 8, difIsHeadOfMd: true },
  { blockSizeBytes: 4096 + 64, mdSizeBytes: 64 },
  { blockSizeBytes: 4096 + 128, mdSizeBytes: 128, difIsHeadOfMd: true },
];

/** Pieces of two blocks, cut inside each part of the first block; SPDK's tests split in these places. */
function splits({ blockSizeBytes, mdSizeBytes, difIsHeadOfMd }: DifOptions): Record<string, number[]> {
  const data = blockSizeBytes - mdSizeBytes;
  const tuple = difIsHeadOfMd ? data : blockSizeBytes - 8;
  return {
    'one piece': [blockSizeBytes * 2],
    'a piece a block': [blockSizeBytes, blockSizeBytes],
    'data and metadata': [data, mdSizeBytes, data, mdSizeBytes],
    'in the data': [100, blockSizeBytes - 100, data - 1, mdSizeBytes + 1],
    'in the guard': [tuple + 1, 2 * blockSizeBytes - tuple - 1],
    'in the application tag': [tuple + 3, 2 * blockSizeBytes - tuple - 3],
    'in the reference tag': [tuple + 6, 2 * blockSizeBytes - tuple - 6],
    everywhere: [data - 1, 1, tuple - data + 1, 2, 2, 1, blockSizeBytes - tuple - 6 + 50, data - 50, mdSizeBytes],
  };
}

const all = { ...plain };

test('generated tuples verify, for every check, format and split (dif_generate_and_verify, prchk_0_1_2_4, prchk_7)', () => {
  for (const format of FORMATS) {
    for (const difFlags of [0, DIF_FLAGS_GUARD_CHECK, DIF_FLAGS_APPTAG_CHECK, DIF_FLAGS_REFTAG_CHECK, ALL_CHECKS]) {
      const options = { ...all, ...format, difFlags };
      for (const [name, sizes] of Object.entries(splits(options))) {
        const before = pattern(options.blockSizeBytes * 2);
        const memory = new Scattered(before, sizes);
        const expected = before.slice();
        referenceGenerate(options, expected, expected, 2);
        assert.equal(difGenerate(memory.iovs, 2, contextOf(options)), 0);
        assert.deepEqual(memory.read(), expected, name);
        assert.equal(difVerify(memory.iovs, 2, contextOf(options), null), 0);
        assert.ok(memory.gapsIntact(), name);
      }
    }
  }
});

test('any format, split and damage: the bytes and the error are those of the reference', () => {
  fc.assert(
    fc.property(
      arbitraryOptions(true),
      fc.integer({ min: 1, max: 4 }),
      arbitraryCuts,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }),
      fc.boolean(),
      (options, blocks, cuts, damage, inTuples) => {
        const bytes = pattern(blocks * options.blockSizeBytes + 13);
        const memory = new Scattered(bytes, cuts);
        const ctx = contextOf(options);
        assert.equal(difGenerate(memory.iovs, blocks, ctx), 0);
        referenceGenerate(options, bytes, bytes, blocks);
        assert.deepEqual(memory.read(), bytes);
        for (const [where, value] of damage) {
          const at = inTuples ? options.blockSizeBytes - 1 - (where % options.mdSizeBytes) : where % bytes.length;
          bytes[at] ^= value;
        }
        memory.write(bytes);
        const error = new DifError();
        const rc = difVerify(memory.iovs, blocks, ctx, error);
        const expected = referenceVerify(options, bytes, bytes, blocks);
        assert.equal(rc, expected === null ? 0 : EIO);
        assert.deepEqual({ ...error }, expected ?? { ...new DifError() });
        assert.deepEqual(memory.read(), bytes, 'a look changes nothing');
        assert.ok(memory.gapsIntact());
      },
    ),
    { numRuns: 250 },
  );
});

test('insert and strip, any format and splits of both lists (dif_copy_*)', () => {
  fc.assert(
    fc.property(
      arbitraryOptions(true),
      fc.integer({ min: 1, max: 4 }),
      arbitraryCuts,
      arbitraryCuts,
      fc.option(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }))),
      (options, blocks, cuts, bounceCuts, damage) => {
        const { blockSizeBytes, mdSizeBytes } = options;
        const dataBytes = blockSizeBytes - mdSizeBytes;
        const bare = pattern(blocks * dataBytes + 3);
        const extended = new Uint8Array(blocks * blockSizeBytes + 5).fill(0x77);
        const data = new Scattered(bare, cuts);
        const bounce = new Scattered(extended, bounceCuts, 2);
        const ctx = contextOf(options);
        assert.equal(difGenerateCopy(data.iovs, bounce.iovs, blocks, ctx), 0);
        for (let i = 0; i < blocks; i++) {
          extended.set(bare.subarray(i * dataBytes, (i + 1) * dataBytes), i * blockSizeBytes);
        }
        referenceGenerate(options, extended, extended, blocks);
        assert.deepEqual(bounce.read(), extended);
        assert.deepEqual(data.read(), bare);

        if (damage !== null) extended[damage[0] % (blocks * blockSizeBytes)] ^= damage[1];
        bounce.write(extended);
        data.write(new Uint8Array(bare.length).fill(0x11));
        const error = new DifError();
        const rc = difVerifyCopy(data.iovs, bounce.iovs, blocks, ctx, error);
        const expected = referenceVerify(options, extended, extended, blocks);
        assert.equal(rc, expected === null ? 0 : EIO);
        assert.deepEqual({ ...error }, expected ?? { ...new DifError() });
        const copied = expected === null ? blocks : expected.errOffset + 1;
        const stripped = new Uint8Array(bare.length).fill(0x11);
        for (let i = 0; i < copied; i++) {
          const from = i * blockSizeBytes;
          stripped.set(extended.subarray(from, from + dataBytes), i * dataBytes);
        }
        assert.deepEqual(data.read(), stripped);
        assert.ok(data.gapsIntact() && bounce.gapsIntact());
      },
    ),
    { numRuns: 150 },
  );
});

test('protection that is disabled touches and checks nothing (dif_disable_sec_512_md_8)', () => {
  const bytes = pattern(1040);
  const memory = new Scattered(bytes, []);
  const ctx = contextOf({ difType: DIF_DISABLE });
  assert.equal(difGenerate(memory.iovs, 2, ctx), 0);
  assert.equal(difVerify(memory.iovs, 2, ctx, null), 0);
  assert.deepEqual(memory.read(), bytes);
});

test('an application tag of all ones switches checks off; type 3 wants the reference tag too (dif_disable_check)', () => {
  for (const [difType, refTag, ignored] of [
    [DIF_TYPE1, 5, true],
    [DIF_TYPE2, 5, true],
    [DIF_TYPE3, 5, false],
    [DIF_TYPE3, DIF_REFTAG_IGNORE, true],
  ] as const) {
    const memory = new Scattered(pattern(520), []);
    const written = contextOf({ difType, appTag: DIF_APPTAG_IGNORE, initRefTag: refTag });
    assert.equal(difGenerate(memory.iovs, 1, written), 0);
    // Everything is wrong now: the data, the tag that is expected, the reference.
    const bytes = memory.read();
    bytes[3] ^= 1;
    memory.write(bytes);
    const expecting = contextOf({ difType, appTag: 1, initRefTag: 77 });
    assert.equal(difVerify(memory.iovs, 1, expecting, null), ignored ? 0 : EIO, `type ${difType}, ${refTag}`);
  }
});

test('what is written for unmapped blocks verifies with the tags that ignore (dif_generate_and_verify_unmap)', () => {
  for (const [difType, initRefTag] of [
    [DIF_TYPE1, 0x100],
    [DIF_TYPE3, DIF_REFTAG_IGNORE],
  ]) {
    const memory = new Scattered(new Uint8Array(4096 + 128), []);
    const format = { blockSizeBytes: 4096 + 128, mdSizeBytes: 128, difIsHeadOfMd: true, guardSeed: 0 };
    const ctx = contextOf({ ...format, difType, initRefTag, appTag: DIF_APPTAG_IGNORE });
    assert.equal(difGenerate(memory.iovs, 1, ctx), 0);
    assert.equal(difVerify(memory.iovs, 1, ctx, null), 0);
    const tuple = new DataView(memory.read().buffer, 4096, 8);
    assert.equal(tuple.getUint16(2), 0xffff);
    assert.equal(tuple.getUint32(4), initRefTag);
  }
});

test('only bits under the mask of the application tag are compared (dif_apptag_mask)', () => {
  const memory = new Scattered(pattern(520), []);
  assert.equal(difGenerate(memory.iovs, 1, contextOf({ appTag: 0x1234 })), 0);
  assert.equal(difVerify(memory.iovs, 1, contextOf({ appTag: 0x5634, appTagMask: 0x00ff }), null), 0);
  const error = new DifError();
  assert.equal(difVerify(memory.iovs, 1, contextOf({ appTag: 0x5634, appTagMask: 0xff00 }), error), EIO);
  assert.deepEqual({ ...error }, { errType: DIF_APPTAG_ERROR, expected: 0x5600, actual: 0x1200, errOffset: 0 });
});

test('the seed is where the guard starts (dif_guard_seed)', () => {
  const guardOf = (guardSeed: number): number => {
    const memory = new Scattered(new Uint8Array(520), []);
    assert.equal(difGenerate(memory.iovs, 1, contextOf({ guardSeed })), 0);
    return new DataView(memory.read().buffer, 512).getUint16(0);
  };
  assert.equal(guardOf(0), 0, 'zeroes from 0 are 0');
  assert.notEqual(guardOf(0xcd), 0);
  const memory = new Scattered(pattern(520), []);
  difGenerate(memory.iovs, 1, contextOf({ guardSeed: 1 }));
  const error = new DifError();
  assert.equal(difVerify(memory.iovs, 1, contextOf({ guardSeed: 2 }), error), EIO);
  assert.equal(error.errType, DIF_GUARD_ERROR);
});

test('guards of blocks whose CRC is known (dif_guard_value)', () => {
  const words = (first: number, second: number) => {
    const bytes = new Uint8Array(520);
    for (let i = 0; i < 512; i += 2) bytes.set([first, second], i);
    const memory = new Scattered(bytes, []);
    difGenerate(memory.iovs, 1, contextOf({ guardSeed: 0 }));
    return [...memory.read().subarray(512)];
  };
  assert.deepEqual(words(0, 0), [0, 0, 0, 0x22, 0, 0, 0, 22]);
  // From 0 the CRC is linear: that of a sum is the sum.
  const sum = words(0xff, 0).map((byte, i) => byte ^ words(0, 0xff)[i]);
  assert.deepEqual(words(0xff, 0xff).slice(0, 2), sum.slice(0, 2));
});

test('the reference tag counts up with the blocks and wraps; for type 3 it stays and is not checked', () => {
  for (const [difType, expected] of [
    [DIF_TYPE1, [0xffffffff, 0, 1]],
    [DIF_TYPE2, [0xffffffff, 0, 1]],
    [DIF_TYPE3, [0xffffffff, 0xffffffff, 0xffffffff]],
  ] as const) {
    const memory = new Scattered(pattern(1560), []);
    const ctx = contextOf({ difType });
    ctx.setInitRefTag(2 ** 35 - 1);
    assert.equal(difGenerate(memory.iovs, 3, ctx), 0);
    const bytes = memory.read();
    const tags = [0, 1, 2].map((i) => new DataView(bytes.buffer, i * 520 + 516).getUint32(0));
    assert.deepEqual(tags, expected);
    ctx.setInitRefTag(9);
    const error = new DifError();
    assert.equal(difVerify(memory.iovs, 3, ctx, error), difType === DIF_TYPE3 ? 0 : EIO);
    if (difType !== DIF_TYPE3) {
      assert.deepEqual({ ...error }, { errType: DIF_REFTAG_ERROR, expected: 9, actual: 0xffffffff, errOffset: 0 });
    }
  }
});

test('an injected bit is found where it was put, and named (inject_1_2_4_8)', () => {
  const random = new Random(7);
  for (const format of FORMATS) {
    const options = { ...all, ...format };
    for (const sizes of Object.values(splits(options))) {
      for (const flag of [DIF_REFTAG_ERROR, DIF_APPTAG_ERROR, DIF_GUARD_ERROR, DIF_DATA_ERROR]) {
        const ctx = contextOf(options);
        const memory = new Scattered(pattern(options.blockSizeBytes * 2), sizes);
        difGenerate(memory.iovs, 2, ctx);
        const before = memory.read();
        const block = difInjectError(memory.iovs, 2, ctx, flag, random);
        const changed = [...memory.read()].map((byte, i) => byte ^ before[i]).filter((bits) => bits !== 0);
        assert.equal(changed.length, 1);
        assert.equal(changed[0] & (changed[0] - 1), 0, 'one bit');
        const error = new DifError();
        // All bits of a tag are checked but those of a tag that would switch checks off, which one bit cannot make.
        assert.equal(difVerify(memory.iovs, 2, ctx, error), EIO);
        assert.equal(error.errOffset, block);
        assert.equal(error.errType, flag === DIF_DATA_ERROR ? DIF_GUARD_ERROR : flag);
        const bare = new Scattered(new Uint8Array(2 * (options.blockSizeBytes - options.mdSizeBytes)), [77]);
        error.reset();
        assert.equal(difVerifyCopy(bare.iovs, memory.iovs, 2, ctx, error), EIO);
        assert.equal(error.errOffset, block);
      }
    }
  }
  const memory = new Scattered(new Uint8Array(1040), []);
  assert.equal(difInjectError(memory.iovs, 2, contextOf(), 0, random), EINVAL);
  assert.equal(difInjectError(memory.iovs, 2, contextOf(), 16, random), EINVAL);
  assert.equal(difInjectError(memory.iovs, 3, contextOf(), DIF_GUARD_ERROR, random), EINVAL);
});

test('a check that is off does not find what it would have (prchk_0)', () => {
  const memory = new Scattered(pattern(1040), []);
  difGenerate(memory.iovs, 2, contextOf());
  for (const [flag, check] of [
    [DIF_REFTAG_ERROR, DIF_FLAGS_REFTAG_CHECK],
    [DIF_APPTAG_ERROR, DIF_FLAGS_APPTAG_CHECK],
    [DIF_GUARD_ERROR, DIF_FLAGS_GUARD_CHECK],
  ]) {
    difGenerate(memory.iovs, 2, contextOf());
    difInjectError(memory.iovs, 2, contextOf(), flag, new Random(1));
    assert.equal(difVerify(memory.iovs, 2, contextOf({ difFlags: ALL_CHECKS & ~check }), null), 0);
    assert.equal(difVerify(memory.iovs, 2, contextOf({ difFlags: check }), null), EIO);
  }
});

test('reference tags follow blocks that move, and nothing else changes (remap)', () => {
  for (const format of FORMATS) {
    const options = { ...all, ...format };
    for (const [name, sizes] of Object.entries(splits(options))) {
      const ctx = contextOf(options);
      const memory = new Scattered(pattern(options.blockSizeBytes * 2), sizes);
      difGenerate(memory.iovs, 2, ctx);
      const expected = memory.read();
      ctx.setRemappedInitRefTag(0xfffffff0);
      assert.equal(difRemapRefTag(memory.iovs, 2, ctx, null), 0);
      referenceGenerate({ ...options, initRefTag: 0xfffffff0 }, expected, expected, 2);
      assert.deepEqual(memory.read(), expected, name);
      const error = new DifError();
      assert.equal(difRemapRefTag(memory.iovs, 2, ctx, error), EIO, 'they are not what they were');
      assert.deepEqual({ ...error }, { errType: DIF_REFTAG_ERROR, expected: 22, actual: 0xfffffff0, errOffset: 0 });
      assert.equal(difRemapRefTag(memory.iovs, 2, ctx, error, false), 0, 'unless nobody looks');
    }
  }
});

test('no tags to move: type 3, no check of the reference, blocks that are ignored', () => {
  const ignored = { appTag: DIF_APPTAG_IGNORE };
  for (const options of [
    { difType: DIF_TYPE3 },
    { difFlags: DIF_FLAGS_GUARD_CHECK },
    { difType: DIF_DISABLE },
    ignored,
  ]) {
    const ctx = contextOf(options);
    const memory = new Scattered(pattern(1040), []);
    difGenerate(memory.iovs, 2, ctx);
    const before = memory.read();
    ctx.setRemappedInitRefTag(99);
    assert.equal(difRemapRefTag(memory.iovs, 2, ctx, null), 0);
    assert.deepEqual(memory.read(), before);
  }
});

test('a block that is ignored keeps its tag, the next gets its own', () => {
  const memory = new Scattered(pattern(1040), [513, 3]);
  difGenerate(memory.iovs, 2, contextOf());
  difGenerate(memory.iovs, 1, contextOf({ appTag: DIF_APPTAG_IGNORE, initRefTag: 5 }));
  const expected = memory.read();
  new DataView(expected.buffer).setUint32(520 + 516, 100);
  const ctx = contextOf();
  ctx.setRemappedInitRefTag(99);
  assert.equal(difRemapRefTag(memory.iovs, 2, ctx, null), 0);
  assert.deepEqual(memory.read(), expected);
});

test('lists that are too short, and the wrong kind of context, are refused before anything is touched', () => {
  const bytes = pattern(1039);
  const memory = new Scattered(bytes, [500]);
  const bare = new Scattered(pattern(1023), []);
  const whole = new Scattered(pattern(1040), []);
  const ctx = contextOf();
  assert.equal(difGenerate(memory.iovs, 2, ctx), EINVAL);
  assert.equal(difVerify(memory.iovs, 2, ctx, null), EINVAL);
  assert.equal(difRemapRefTag(memory.iovs, 2, ctx, null), EINVAL);
  assert.equal(difGenerateCopy(whole.iovs, memory.iovs, 2, ctx), EINVAL, 'the bounce list');
  assert.equal(difGenerateCopy(bare.iovs, whole.iovs, 2, ctx), EINVAL, 'the data');
  assert.equal(difVerifyCopy(bare.iovs, whole.iovs, 2, ctx, null), EINVAL);
  assert.equal(difGenerate(whole.iovs, -1, ctx), EINVAL);
  const separate = contextOf({ mdInterleave: false, blockSizeBytes: 512 });
  assert.equal(difGenerate(whole.iovs, 1, separate), EINVAL);
  assert.equal(difVerify(whole.iovs, 1, separate, null), EINVAL);
  assert.deepEqual(memory.read(), bytes);
});
