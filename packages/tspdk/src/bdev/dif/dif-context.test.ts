/** What a format may be: everything behind `init` relies on it (SPDK: dif_sec_512_md_0_error, dif_sec_4100_md_128_error). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EINVAL, ENOTSUP } from '../status.ts';
import { DIF_PI_FORMAT_32, DIF_PI_FORMAT_64, DifContext, type DifOptions } from './dif-context.ts';
import { contextOf, plain } from './dif-reference.sim.ts';

function init(options: Partial<DifOptions>): number {
  return new DifContext().init({ ...plain, ...options });
}

test('formats without room for a tuple, or whose data is no multiple of 512 bytes, are refused', () => {
  assert.equal(init({}), 0);
  assert.equal(init({ blockSizeBytes: 4096 + 64, mdSizeBytes: 64 }), 0);
  assert.equal(init({ blockSizeBytes: 512, mdSizeBytes: 8, mdInterleave: false }), 0);
  assert.equal(init({ blockSizeBytes: 512, mdSizeBytes: 0 }), EINVAL, 'no metadata');
  assert.equal(init({ blockSizeBytes: 519, mdSizeBytes: 7 }), EINVAL, 'less than a tuple');
  assert.equal(init({ blockSizeBytes: 512, mdSizeBytes: 0, mdInterleave: false }), EINVAL);
  assert.equal(init({ blockSizeBytes: 8, mdSizeBytes: 8 }), EINVAL, 'no data');
  assert.equal(init({ blockSizeBytes: 8, mdSizeBytes: 520 }), EINVAL);
  assert.equal(init({ blockSizeBytes: 512, mdSizeBytes: 8 }), EINVAL, '504 bytes of data');
  assert.equal(init({ blockSizeBytes: 4100 + 128, mdSizeBytes: 128 }), EINVAL, '4100 bytes of data');
  assert.equal(init({ blockSizeBytes: Number.NaN }), EINVAL);
});

test('wider guards are not supported, unknown ones invalid', () => {
  assert.equal(init({ piFormat: DIF_PI_FORMAT_32, blockSizeBytes: 4096 + 128, mdSizeBytes: 128 }), ENOTSUP);
  assert.equal(init({ piFormat: DIF_PI_FORMAT_64, blockSizeBytes: 4096 + 128, mdSizeBytes: 128 }), ENOTSUP);
  assert.equal(init({ piFormat: 3 }), EINVAL);
});

test('types, tags and seeds out of range are refused, and a context keeps what it had', () => {
  for (const wrong of [
    { difType: 4 },
    { difType: -1 },
    { appTag: 0x10000 },
    { appTagMask: -1 },
    { guardSeed: 0.5 },
    { initRefTag: Number.NaN },
  ]) {
    const ctx = contextOf();
    const before = { ...ctx };
    assert.equal(ctx.init({ ...plain, blockSizeBytes: 1032, ...wrong }), EINVAL, JSON.stringify(wrong));
    assert.deepEqual({ ...ctx }, before);
  }
});

test('where the tuple lies', () => {
  const end = contextOf({ blockSizeBytes: 4096 + 64, mdSizeBytes: 64 });
  assert.deepEqual([end.dataSizeBytes, end.mdBeforeTupleBytes, end.mdAfterTupleBytes], [4096, 56, 0]);
  const head = contextOf({ blockSizeBytes: 4096 + 64, mdSizeBytes: 64, difIsHeadOfMd: true });
  assert.deepEqual([head.dataSizeBytes, head.mdBeforeTupleBytes, head.mdAfterTupleBytes], [4096, 0, 56]);
  const separate = contextOf({ blockSizeBytes: 4096, mdSizeBytes: 16, mdInterleave: false });
  assert.deepEqual([separate.dataSizeBytes, separate.mdBeforeTupleBytes], [4096, 8]);
});
