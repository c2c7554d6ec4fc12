/**
 * The mappings against a disk that is laid out block by block: each block of the disk is on one place of one member, and where it should be.
 *
 * SPDK's unit tests by name, as far as they are about arithmetic: raid0_ut test_write_io, test_read_io, test_unmap_io; concat_ut test_concat_start,
 * test_concat_rw, test_concat_null_payload; raid5f_ut test_raid5f_start, test_raid5f_submit_read_request,
 * test_raid5f_stripe_request_map_iovecs; bdev_raid_ut test_raid_level_conversions. The others (creation, deletion, channels, resets, errors and ENOMEM of members,
 * raid1's balancing, the rebuild) are about the bdev module: raid0.test.ts, raid1.test.ts, raid1-read.test.ts, raid5f.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SpdkError } from '../../../env/errors.ts';
import { CONCAT, RAID0, RAID1, RAID5F, raidLevelName, raidLevelOf } from './raid-level.ts';
import { ConcatMap, Raid0Map, Raid5fMap, RaidRange } from './raid-map.ts';

const EINVAL = (error: unknown) => error instanceof SpdkError && error.code === 'EINVAL';

const members = (least: number) => fc.array(fc.integer({ min: 8, max: 60 }), { minLength: least, maxLength: 5 });
const strip = fc.constantFrom(1, 2, 4, 8);

/** All blocks of a disk in order, as "member:lba". */
function raid0Layout(sizes: readonly number[], stripBlocks: number): string[] {
  const places: string[] = [];
  for (let stripe = 0; (stripe + 1) * stripBlocks <= Math.min(...sizes); stripe++) {
    for (const member of sizes.keys()) {
      for (let i = 0; i < stripBlocks; i++) places.push(`${member}:${stripe * stripBlocks + i}`);
    }
  }
  return places;
}

function concatLayout(sizes: readonly number[], stripBlocks: number): string[] {
  return sizes.flatMap((size, member) =>
    Array.from({ length: size - (size % stripBlocks) }, (_, lba) => `${member}:${lba}`),
  );
}

function raid5fLayout(sizes: readonly number[], stripBlocks: number): string[] {
  const places: string[] = [];
  let parity = sizes.length - 1;
  for (let stripe = 0; (stripe + 1) * stripBlocks <= Math.min(...sizes); stripe++) {
    for (const member of sizes.keys()) {
      if (member === parity) continue;
      for (let i = 0; i < stripBlocks; i++) places.push(`${member}:${stripe * stripBlocks + i}`);
    }
    parity = parity === 0 ? sizes.length - 1 : parity - 1;
  }
  return places;
}

interface Mapping {
  readonly blocks: number;
  map(lba: number, blocks: number, out: RaidRange): void;
}

/** The places of a range, found part by part. */
function walk(map: Mapping, lba: number, blocks: number, parts: number[] = []): string[] {
  const out = new RaidRange();
  const places: string[] = [];
  for (let at = lba; at < lba + blocks; at += out.blocks) {
    map.map(at, lba + blocks - at, out);
    assert.ok(out.blocks > 0);
    parts.push(out.blocks);
    for (let i = 0; i < out.blocks; i++) places.push(`${out.member}:${out.lba + i}`);
  }
  return places;
}

for (const [name, least, make, layout] of [
  ['raid0', 1, (sizes: number[], size: number) => new Raid0Map(sizes, size), raid0Layout],
  ['concat', 1, (sizes: number[], size: number) => new ConcatMap(sizes, size), concatLayout],
  ['raid5f', 3, (sizes: number[], size: number) => new Raid5fMap(sizes, size), raid5fLayout],
] as const) {
  test(`${name}: any range lies where the layout has it`, () => {
    fc.assert(
      fc.property(members(least), strip, fc.nat(), fc.nat(), (sizes, stripBlocks, a, b) => {
        const map = make(sizes, stripBlocks);
        const places = layout(sizes, stripBlocks);
        assert.equal(map.blocks, places.length);
        const lba = a % places.length;
        const blocks = b % (places.length - lba + 1);
        const parts: number[] = [];
        assert.deepEqual(walk(map, lba, blocks, parts), places.slice(lba, lba + blocks));
        if (name !== 'concat') assert.ok(parts.every((part) => part <= stripBlocks));
      }),
      { numRuns: 300 },
    );
  });
}

for (const [name, make, layout] of [
  ['raid0', (sizes: number[], size: number) => new Raid0Map(sizes, size), raid0Layout],
  ['concat', (sizes: number[], size: number) => new ConcatMap(sizes, size), concatLayout],
] as const) {
  test(`${name}: what a member has of a range is one range, and all of it (unmap, null payload)`, () => {
    fc.assert(
      fc.property(members(1), strip, fc.nat(), fc.nat(), (sizes, stripBlocks, a, b) => {
        const map = make(sizes, stripBlocks);
        const places = layout(sizes, stripBlocks);
        const lba = a % places.length;
        const blocks = 1 + (b % (places.length - lba));
        const found = new Set<string>();
        const out = new RaidRange();
        for (const member of sizes.keys()) {
          map.memberRange(lba, blocks, member, out);
          assert.equal(out.member, member);
          assert.ok(out.blocks >= 0);
          for (let i = 0; i < out.blocks; i++) found.add(`${member}:${out.lba + i}`);
        }
        assert.deepEqual([...found].sort(), places.slice(lba, lba + blocks).sort());
      }),
      { numRuns: 300 },
    );
  });
}

test('raid5f: each stripe has its parity on another member, and only whole stripes may be written', () => {
  const map = new Raid5fMap([100, 100, 100, 100], 4);
  assert.deepEqual([map.stripeBlocks, map.blocks], [12, 300]);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((stripe) => map.parityMember(stripe)),
    [3, 2, 1, 0, 3, 2],
  );
  assert.deepEqual(
    [0, 1, 2].map((index) => map.dataMember(2, index)),
    [0, 2, 3],
  );
  assert.equal(map.stripeLba(7), 28);
  for (const [lba, blocks, full] of [
    [0, 12, true],
    [24, 36, true],
    [0, 0, false],
    [0, 11, false],
    [1, 12, false],
    [12, 13, false],
  ] as const) {
    assert.equal(map.isFullStripes(lba, blocks), full, `${lba}, ${blocks}`);
  }
});

test('disks of 2^50 blocks are mapped exactly', () => {
  const out = new RaidRange();
  const raid0 = new Raid0Map([2 ** 50, 2 ** 50, 2 ** 50], 128);
  const lba = 3 * (2 ** 49 - 128) + 128 + 5;
  raid0.map(lba, 1000, out);
  assert.deepEqual({ ...out }, { member: 1, lba: 2 ** 49 - 128 + 5, blocks: 123 });
  raid0.memberRange(lba, 128, 2, out);
  assert.deepEqual({ ...out }, { member: 2, lba: 2 ** 49 - 128, blocks: 5 });
  const raid5f = new Raid5fMap([2 ** 50, 2 ** 50, 2 ** 50], 128);
  raid5f.map(256 * (2 ** 40 + 1) + 130, 4, out);
  assert.deepEqual({ ...out }, { member: raid5f.dataMember(2 ** 40 + 1, 1), lba: 128 * (2 ** 40 + 1) + 2, blocks: 4 });
  const concat = new ConcatMap([2 ** 50 + 1, 2 ** 50], 2);
  concat.map(2 ** 50, 5, out);
  assert.deepEqual({ ...out }, { member: 1, lba: 0, blocks: 5 });
});

test('what is no RAID is refused', () => {
  for (const make of [
    (sizes: number[], size: number) => new Raid0Map(sizes, size),
    (sizes: number[], size: number) => new ConcatMap(sizes, size),
    (sizes: number[], size: number) => new Raid5fMap(sizes, size),
  ]) {
    assert.doesNotThrow(() => make([64, 64, 64], 64));
    for (const size of [0, 3, 0.5, -2, Number.NaN]) assert.throws(() => make([64, 64, 64], size), EINVAL, `${size}`);
    assert.throws(() => make([], 8), EINVAL);
    assert.throws(() => make(new Array<number>(256).fill(64), 8), EINVAL);
    assert.throws(() => make([64, 7, 64], 8), EINVAL);
  }
  assert.throws(() => new Raid5fMap([64, 64], 8), EINVAL);
});

test('[test_raid_level_conversions] levels and their names', () => {
  for (const [text, level] of [
    ['raid0', RAID0],
    ['0', RAID0],
    ['1', RAID1],
    ['RAID1', RAID1],
    ['raid5f', RAID5F],
    ['5f', RAID5F],
    ['concat', CONCAT],
    ['', -1],
    ['abcd', -1],
    ['2', -1],
    ['raid', -1],
    ['raidconcat', -1],
  ] as const) {
    assert.equal(raidLevelOf(text), level, text);
  }
  assert.deepEqual([RAID0, RAID1, RAID5F, CONCAT].map(raidLevelName), ['raid0', 'raid1', 'raid5f', 'concat']);
  assert.deepEqual([raidLevelName(-1), raidLevelName(5)], ['', '']);
});
