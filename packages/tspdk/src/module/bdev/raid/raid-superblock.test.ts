/**
 * The superblock's bytes, round trips, and what a damaged or hostile one gives (the name in brackets is that of SPDK's bdev_raid_sb_ut; its tests of writing and loading
 * are about I/O of base bdevs: raid-assembly.test.ts; here is that more may have to be read).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32cUpdate } from '../../../env/crc32.ts';
import { SpdkError } from '../../../env/errors.ts';
import { RAID5F } from './raid-level.ts';
import {
  decodeRaidSuperblock,
  encodeRaidSuperblock,
  RAID_MIN_DATA_OFFSET_BYTES,
  RAID_SB_CONFIGURED,
  RAID_SB_MAX_BYTES,
  RAID_SB_MISSING,
  type RaidSuperblock,
  raidSuperblockBytes,
} from './raid-superblock.ts';

const UUID = '00112233-4455-6677-8899-aabbccddeeff';
const sb: RaidSuperblock = {
  uuid: UUID,
  name: 'raid_dé',
  raidSize: 2 ** 40 + 2,
  blockSize: 512,
  level: RAID5F,
  stripSize: 128,
  state: 0,
  seqNumber: 7,
  flags: 0,
  numBaseBdevs: 3,
  baseBdevs: [0, 1, 2].map((slot) => ({
    uuid: UUID.replace('0011', `001${slot}`),
    dataOffset: 2048,
    dataSize: 2 ** 39 + 1,
    state: slot === 2 ? RAID_SB_MISSING : RAID_SB_CONFIGURED,
    flags: slot,
    slot,
  })),
};

const code = (expected: string, text: RegExp) => (error: unknown) =>
  error instanceof SpdkError && error.code === expected && text.test(error.message);

/** Changes a superblock and makes its CRC right again. */
function patched(change: (view: DataView) => void): Uint8Array {
  const bytes = encodeRaidSuperblock(sb);
  const view = new DataView(bytes.buffer);
  change(view);
  view.setUint32(16, 0, true);
  const length = Math.min(bytes.length, view.getUint32(12, true));
  view.setUint32(16, crc32cUpdate(bytes.subarray(0, length), 0), true);
  return bytes;
}

test('the fields lie where struct raid_bdev_superblock has them', () => {
  const bytes = encodeRaidSuperblock(sb);
  const view = new DataView(bytes.buffer);
  assert.equal(bytes.length, 256 + 3 * 64);
  const text = (from: number, to: number) => new TextDecoder().decode(bytes.subarray(from, to));
  assert.equal(text(0, 8), 'SPDKRAID');
  assert.deepEqual([view.getUint16(8, true), view.getUint16(10, true), view.getUint32(12, true)], [1, 0, 448]);
  assert.equal(Buffer.from(bytes.subarray(24, 40)).toString('hex'), UUID.replaceAll('-', ''));
  assert.equal(text(40, 48), 'raid_dé');
  assert.equal(view.getBigUint64(104, true), 2n ** 40n + 2n);
  const words = [112, 116, 120, 124].map((at) => view.getUint32(at, true));
  assert.deepEqual(words, [512, 0x5f, 128, 0]);
  assert.equal(view.getBigUint64(128, true), 7n);
  assert.deepEqual([bytes[136], bytes[255]], [3, 3]);
  assert.ok(bytes.subarray(137, 255).every((byte) => byte === 0));
  const second = 256 + 64;
  assert.equal(Buffer.from(bytes.subarray(second, second + 2)).toString('hex'), '0011');
  assert.deepEqual(
    [view.getBigUint64(second + 16, true), view.getBigUint64(second + 24, true)],
    [2048n, 2n ** 39n + 1n],
  );
  assert.deepEqual(
    [view.getUint32(second + 32, true), view.getUint32(second + 36, true), bytes[second + 40]],
    [1, 1, 1],
  );
  const crc = view.getUint32(16, true);
  view.setUint32(16, 0, true);
  assert.equal(crc, crc32cUpdate(bytes, 0));
  assert.equal(RAID_SB_MAX_BYTES, 20480);
  assert.ok(RAID_SB_MAX_BYTES < RAID_MIN_DATA_OFFSET_BYTES);
});

test('what was written is read, whatever follows it', () => {
  const u32 = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 0xffffffff));
  const u53 = fc.maxSafeNat();
  const uuid = fc.uuid();
  const noNullPrototype = true;
  const base = fc.record(
    { uuid, dataOffset: u53, dataSize: u53, state: u32, flags: u32, slot: fc.nat(254) },
    { noNullPrototype },
  );
  const whole = fc.record(
    {
      uuid,
      name: fc
        .string({ unit: 'grapheme-composite', maxLength: 10 })
        .filter((name) => !name.includes('\0') && Buffer.byteLength(name) < 64),
      raidSize: u53,
      blockSize: u32,
      level: u32,
      stripSize: u32,
      state: u32,
      seqNumber: fc.maxSafeNat().map((n) => Math.min(n, 2 ** 52)),
      flags: u32,
      numBaseBdevs: fc.constant(255),
      baseBdevs: fc.array(base, { maxLength: 12 }),
    },
    { noNullPrototype },
  );
  fc.assert(
    fc.property(whole, fc.nat(600), (value, more) => {
      const bytes = encodeRaidSuperblock(value);
      const longer = new Uint8Array(bytes.length + more).fill(0x55);
      longer.set(bytes);
      assert.deepEqual(decodeRaidSuperblock(longer), value);
    }),
    { numRuns: 150 },
  );
});

test('of one that is longer than what was read, it says how much to read', () => {
  const bytes = encodeRaidSuperblock(sb);
  assert.equal(decodeRaidSuperblock(bytes.subarray(0, 256)), 448);
  assert.equal(decodeRaidSuperblock(bytes.subarray(0, 447)), 448);
  assert.equal(raidSuperblockBytes(bytes), 448);
});

test('[test_raid_bdev_parse_superblock] a disk without one, and damaged ones', () => {
  assert.equal(decodeRaidSuperblock(new Uint8Array(4096)), null);
  assert.equal(decodeRaidSuperblock(new Uint8Array(255)), null);
  const other = encodeRaidSuperblock(sb);
  other[7] = 0x45;
  assert.equal(decodeRaidSuperblock(other), null, 'the signature');
  const flipped = encodeRaidSuperblock(sb);
  for (const at of [8, 20, 50, 137, 255, 300, 447]) {
    flipped[at] ^= 4;
    assert.throws(() => decodeRaidSuperblock(flipped), code('EINVAL', /the CRC is wrong/), `byte ${at}`);
    flipped[at] ^= 4;
  }
  const refused = (text: RegExp, change: (view: DataView) => void): void => {
    assert.throws(() => decodeRaidSuperblock(patched(change)), code('EINVAL', text));
  };
  refused(/255 bytes long/, (view) => view.setUint32(12, 255, true));
  refused(/20481 bytes long/, (view) => view.setUint32(12, 20481, true));
  refused(/4294967295 bytes long/, (view) => view.setUint32(12, 0xffffffff, true));
  refused(/version 2.0/, (view) => view.setUint16(8, 2, true));
  refused(/slot 3 of 3/, (view) => view.setUint8(256 + 40, 3));
  refused(/slot 2 of 2/, (view) => view.setUint8(136, 2));
  refused(/4 base bdevs in 448 bytes/, (view) => view.setUint8(255, 4));
  refused(/seq_number is 4503599627370497, limit 4503599627370496/, (view) =>
    view.setBigUint64(128, 2n ** 52n + 1n, true),
  );
  refused(/raid_size/, (view) => view.setUint32(108, 0xffffffff, true));
  assert.deepEqual(decodeRaidSuperblock(patched((view) => view.setUint16(10, 9, true))), sb, 'a higher minor version');
});

test('any damage: the superblock, none, more to read, or EINVAL', () => {
  const damage = fc.array(fc.tuple(fc.nat(447), fc.nat(255)), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(damage, fc.nat(448), (changes, length) => {
      const bytes = patched((view) => {
        for (const [at, value] of changes) view.setUint8(at, value);
      });
      try {
        decodeRaidSuperblock(bytes.subarray(0, length));
      } catch (error) {
        assert.ok(code('EINVAL', /./)(error), String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test('what does not fit is not written', () => {
  const wrong = (change: Partial<RaidSuperblock>, text: RegExp): void => {
    assert.throws(() => encodeRaidSuperblock({ ...sb, ...change }), code('EINVAL', text));
  };
  wrong({ uuid: 'x' }, /no UUID/);
  wrong({ raidSize: -1 }, /raid_size is -1/);
  wrong({ blockSize: 2 ** 32 }, /block_size/);
  wrong({ stripSize: 0.5 }, /strip_size/);
  wrong({ numBaseBdevs: 256 }, /num_base_bdevs/);
  wrong({ numBaseBdevs: 2 }, /slot 2 of 2/);
  wrong({ baseBdevs: new Array(256).fill(sb.baseBdevs[0]) }, /256 base bdevs/);
  assert.throws(() => encodeRaidSuperblock({ ...sb, name: 'é'.repeat(32) }), code('ENAMETOOLONG', /64 bytes/));
  assert.doesNotThrow(() => encodeRaidSuperblock({ ...sb, name: `${'é'.repeat(31)}x` }));
});
