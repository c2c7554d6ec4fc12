/**
 * Partition tables: what is written is read, what is broken is refused or mended from the backup, hostile ones do no harm, and sgdisk and sfdisk agree.
 *
 * SPDK's unit tests of module/bdev/gpt/gpt.c by name: test_check_mbr, test_read_header, test_read_partitions, test_parse_mbr_and_primary,
 * test_parse_secondary. Their cases of null pointers have no counterpart.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { crc32 } from '../../../env/crc32.ts';
import { SpdkError } from '../../../env/errors.ts';
import {
  GPT_ENTRIES,
  GPT_ENTRIES_MAX,
  type GptGeometry,
  gptBytes,
  gptUsable,
  hasProtectiveMbr,
  makeGpt,
  type NewGptPartition,
  parseGpt,
  SPDK_GPT_PART_TYPE_GUID,
  SPDK_GPT_PART_TYPE_GUID_OLD,
} from './gpt-table.ts';
import { decodeGuid, encodeGuid, GUID_ZERO } from './guid.ts';

const DISK = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b';
const UNIQUE = '01234567-89ab-cdef-0123-456789abcdef';
const geometry: GptGeometry = { blockSizeBytes: 512, blocks: 4096 };

const two: NewGptPartition[] = [
  { typeGuid: SPDK_GPT_PART_TYPE_GUID, uniqueGuid: UNIQUE, firstLba: 34, lastLba: 1023, name: 'first' },
  { typeGuid: SPDK_GPT_PART_TYPE_GUID_OLD, uniqueGuid: DISK, firstLba: 2048, lastLba: 4062, attributes: 1n << 60n },
];

const code = (expected: string, text: RegExp) => (error: unknown) =>
  error instanceof SpdkError && error.code === expected && text.test(error.message);

/** Changes a header and makes its CRC right again. */
function patchHeader(bytes: Uint8Array, at: number, change: (view: DataView) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 512);
  change(view);
  view.setUint32(16, 0, true);
  view.setUint32(16, crc32(bytes.subarray(at, at + Math.min(512, view.getUint32(12, true)))), true);
}

function patchEntries(bytes: Uint8Array, change: (view: DataView) => void): void {
  change(new DataView(bytes.buffer, bytes.byteOffset + 1024));
  patchHeader(bytes, 512, (view) => view.setUint32(88, crc32(bytes.subarray(1024, 1024 + 128 * 128)), true));
}

const NO_TAIL = new Uint8Array(0);

test('what is made is read, from either copy, with any size of blocks', () => {
  for (const blockSizeBytes of [512, 520, 4096]) {
    const { firstUsableLba, lastUsableLba } = gptUsable({ blockSizeBytes, blocks: 4096 });
    const partitions = [
      { ...two[0], firstLba: firstUsableLba },
      { ...two[1], lastLba: lastUsableLba },
    ];
    const { head, tail } = makeGpt({ blockSizeBytes, blocks: 4096 }, DISK, partitions);
    const expected = {
      diskGuid: DISK,
      firstUsableLba,
      lastUsableLba,
      partitions: partitions.map((each, index) => ({ name: '', attributes: 0n, ...each, index })),
    };
    const primary = parseGpt(head, NO_TAIL, { blockSizeBytes, blocks: 4096 });
    assert.deepEqual(primary, { ...expected, from: 'primary', problems: [] });
    head[blockSizeBytes] ^= 1;
    const backup = parseGpt(head, tail, { blockSizeBytes, blocks: 4096 });
    const problems = ['the primary table is broken: no signature'];
    assert.deepEqual(backup, { ...expected, from: 'backup', problems });
  }
});

test('any partitions come back as they went in', () => {
  const guid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => decodeGuid(bytes, 0));
  const one = fc.record({
    typeGuid: guid.filter((text) => text !== GUID_ZERO),
    uniqueGuid: guid,
    gap: fc.nat(100),
    length: fc.integer({ min: 1, max: 2 ** 34 }),
    attributes: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    name: fc.string({ unit: 'binary', maxLength: 18 }).filter((text) => !text.includes('\0')),
  });
  fc.assert(
    fc.property(fc.array(one, { maxLength: GPT_ENTRIES }), (specs) => {
      const big = { blockSizeBytes: 512, blocks: 2 ** 43 };
      let at = gptUsable(big).firstUsableLba;
      const partitions = specs.map(({ gap, length, ...rest }) => {
        const firstLba = at + gap;
        at = firstLba + length;
        return { ...rest, firstLba, lastLba: at - 1 };
      });
      const { head } = makeGpt(big, DISK, partitions);
      const table = parseGpt(head, NO_TAIL, big);
      assert.deepEqual(
        table?.partitions,
        partitions.map((each, index) => ({ ...each, index })),
      );
      assert.deepEqual(table?.problems, []);
    }),
    { numRuns: 60 },
  );
});

test('without a protective MBR there is no table (test_check_mbr)', () => {
  const { head, tail } = makeGpt(geometry, DISK, two);
  const changed = (at: number, value: number): Uint8Array => {
    const copy = head.slice();
    copy[at] = value;
    return copy;
  };
  assert.equal(hasProtectiveMbr(head), true);
  assert.equal(hasProtectiveMbr(head.subarray(0, 511)), false, 'too short');
  for (const [at, value] of [
    [510, 0x54],
    [511, 0],
    [450, 0x83],
    [454, 2],
    [457, 1],
  ]) {
    assert.equal(parseGpt(changed(at, value), tail, geometry), null, `byte ${at}`);
  }
  assert.ok(parseGpt(changed(458, 9), tail, geometry), 'another length: the disk has grown');
  const hybrid = head.slice();
  hybrid.copyWithin(446 + 48, 446, 462);
  hybrid.fill(0, 446, 462);
  assert.ok(parseGpt(hybrid, tail, geometry), 'in any of the four places');
  assert.equal(parseGpt(new Uint8Array(65536), new Uint8Array(65536), geometry), null);
  const mbr = new DataView(head.buffer, 446, 16);
  assert.deepEqual([mbr.getUint32(8, true), mbr.getUint32(12, true)], [1, 4095]);
  const big = makeGpt({ blockSizeBytes: 512, blocks: 2 ** 33 + 5 }, DISK, []).head;
  assert.equal(new DataView(big.buffer).getUint32(458, true), 0xffffffff);
});

test('each header names the other', () => {
  const { head, tail } = makeGpt(geometry, DISK, two);
  const lbas = (bytes: Uint8Array, at: number) =>
    [24, 32, 72].map((field) => new DataView(bytes.buffer, at).getUint32(field, true));
  assert.deepEqual(lbas(head, 512), [1, 4095, 2]);
  assert.deepEqual(lbas(tail, tail.length - 512), [4095, 1, 4063]);
});

test('headers that do not fit are refused, each for its reason (test_read_header)', () => {
  const refused = (text: RegExp, change: (view: DataView) => void): void => {
    const { head } = makeGpt(geometry, DISK, two);
    patchHeader(head, 512, change);
    assert.throws(() => parseGpt(head, NO_TAIL, geometry), code('EINVAL', text));
  };
  refused(/no signature/, (view) => view.setUint8(0, 0x45 ^ 1));
  refused(/a header of 91 bytes/, (view) => view.setUint32(12, 91, true));
  refused(/a header of 513 bytes/, (view) => view.setUint32(12, 513, true));
  refused(/a header of 4294967295 bytes/, (view) => view.setUint32(12, 0xffffffff, true));
  refused(/a header of block 2 in block 1/, (view) => view.setUint32(24, 2, true));
  refused(/blocks 5000 to 4062/, (view) => view.setUint32(40, 5000, true));
  refused(/blocks 34 to 4096/, (view) => view.setUint32(48, 4096, true));
  refused(/for partitions/, (view) => view.setUint32(52, 1, true));
  const { head } = makeGpt(geometry, DISK, two);
  head[512 + 60]++;
  assert.throws(() => parseGpt(head, NO_TAIL, geometry), code('EINVAL', /the header's CRC is wrong/));
  const longer = makeGpt(geometry, DISK, two).head;
  patchHeader(longer, 512, (view) => view.setUint32(12, 512, true));
  assert.equal(parseGpt(longer, NO_TAIL, geometry)?.partitions.length, 2, 'a later header may be longer');
});

test('entries that do not fit are refused, each for its reason (test_read_partitions)', () => {
  const refused = (text: RegExp, change: (view: DataView) => void): void => {
    const { head } = makeGpt(geometry, DISK, two);
    patchHeader(head, 512, change);
    assert.throws(() => parseGpt(head, NO_TAIL, geometry), code('EINVAL', text));
  };
  refused(/0 entries/, (view) => view.setUint32(80, 0, true));
  refused(/1025 entries/, (view) => view.setUint32(80, GPT_ENTRIES_MAX + 1, true));
  refused(/4294967295 entries/, (view) => view.setUint32(80, 0xffffffff, true));
  refused(/entries of 64 bytes/, (view) => view.setUint32(84, 64, true));
  refused(/entries of 192 bytes/, (view) => view.setUint32(84, 192, true));
  refused(/entries of 2147483648 bytes/, (view) => view.setUint32(84, 0x80000000, true));
  refused(/the entries' CRC is wrong/, (view) => view.setUint32(88, 0, true));
  refused(/the entries' CRC is wrong/, (view) => view.setUint32(80, 127, true));
  refused(/entries in blocks 1 to/, (view) => view.setUint32(72, 1, true));
  refused(/entries in blocks 4080 to/, (view) => view.setUint32(72, 4080, true));
  refused(/entries in blocks/, (view) => view.setUint32(76, 1, true));
  refused(/entries among the partitions/, (view) => view.setUint32(72, 3, true));
  refused(/entries among the partitions/, (view) => view.setUint32(40, 33, true));
  refused(/too far away/, (view) => {
    view.setUint32(48, 4000, true);
    view.setUint32(72, 4001, true);
  });
  const { head } = makeGpt(geometry, DISK, two);
  assert.throws(() => parseGpt(head.subarray(0, 34 * 512 - 1), NO_TAIL, geometry), code('EINVAL', /too far away/));
  assert.throws(() => parseGpt(head.subarray(0, 512), NO_TAIL, geometry), code('EINVAL', /no block 1/));
});

test('larger entries are read; sizes of the standard', () => {
  const { head } = makeGpt(geometry, DISK, two);
  const second = head.slice(1024 + 128, 1024 + 256);
  head.fill(0, 1024 + 128, 1024 + 256);
  head.set(second, 1024 + 256);
  patchHeader(head, 512, (view) => {
    view.setUint32(80, 64, true);
    view.setUint32(84, 256, true);
    view.setUint32(88, crc32(head.subarray(1024, 1024 + 64 * 256)), true);
  });
  const names = parseGpt(head, NO_TAIL, geometry)?.partitions.map((each) => [each.index, each.typeGuid]);
  assert.deepEqual(names, [
    [0, SPDK_GPT_PART_TYPE_GUID],
    [1, SPDK_GPT_PART_TYPE_GUID_OLD],
  ]);
});

test('partitions outside the usable blocks or over another are left out, and named', () => {
  const left = (change: (view: DataView) => void): readonly string[] | undefined => {
    const { head } = makeGpt(geometry, DISK, two);
    patchEntries(head, change);
    const table = parseGpt(head, NO_TAIL, geometry);
    assert.deepEqual(
      table?.partitions.map((each) => each.index),
      [0],
    );
    return table?.problems;
  };
  const second = 128;
  assert.deepEqual(
    left((view) => view.setUint32(second + 40, 4063, true)),
    ['partition 2 (blocks 2048 to 4063) lies outside 34 to 4062'],
  );
  assert.match(left((view) => view.setUint32(second + 40, 2047, true))?.[0] ?? '', /outside/);
  assert.match(left((view) => view.setUint32(second + 44, 0xffffffff, true))?.[0] ?? '', /outside/);
  assert.match(left((view) => view.setUint32(second + 32, 33, true))?.[0] ?? '', /outside/);
  assert.deepEqual(
    left((view) => view.setUint32(second + 32, 1023, true)),
    ['partition 2 (blocks 1023 to 4062) overlaps partition 1'],
  );
  assert.deepEqual(
    left((view) => {
      for (let i = 0; i < 16; i++) view.setUint8(second + i, 0);
    }),
    [],
    'not in use',
  );
});

test('the backup counts when the primary is broken, and only then (test_parse_mbr_and_primary, test_parse_secondary)', () => {
  const { head, tail } = makeGpt(geometry, DISK, two);
  const other = makeGpt(geometry, UNIQUE, []);
  assert.equal(parseGpt(head, other.tail, geometry)?.diskGuid, DISK);
  const broken = head.slice();
  broken[1024]++;
  const table = parseGpt(broken, tail, geometry);
  assert.equal(table?.from, 'backup');
  assert.deepEqual(table?.problems, ["the primary table is broken: the entries' CRC is wrong"]);
  assert.equal(table?.partitions.length, 2);
  const longer = new Uint8Array(40 * 512);
  longer.set(tail, longer.length - tail.length);
  assert.equal(parseGpt(broken, longer, geometry)?.partitions.length, 2, 'more of the end than it takes');
  const bad = tail.slice();
  bad[bad.length - 512 + 20]++;
  const both = /the primary \(the entries' CRC is wrong\), the backup \(the header's CRC is wrong\)/;
  assert.throws(() => parseGpt(broken, bad, geometry), code('EINVAL', both));
  assert.throws(() => parseGpt(broken, tail.subarray(512), geometry), code('EINVAL', /the backup \(entries.*too far/));
  assert.throws(() => parseGpt(broken, NO_TAIL, geometry), code('EINVAL', /the backup \(no block 4095/));
  const grown = { ...geometry, blocks: 8192 };
  assert.throws(
    () => parseGpt(broken, tail, grown),
    code('EINVAL', /the backup \(a header of block 4095 in block 8191/),
  );
});

test('any damage: a table that is in order, no table, or EINVAL', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(34 * 512 - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.array(fc.tuple(fc.nat(91), fc.nat(255)), { maxLength: 4 }),
      fc.boolean(),
      (damage, headerDamage, mendCrc) => {
        const { head, tail } = makeGpt(geometry, DISK, two);
        for (const [at, value] of damage) head[at] = value;
        patchHeader(head, 512, (view) => {
          for (const [at, value] of headerDamage) view.setUint8(at, value);
          if (mendCrc) view.setUint32(88, crc32(head.subarray(1024, 1024 + 128 * 128)), true);
        });
        try {
          const table = parseGpt(head, tail.subarray(headerDamage.length * 512), geometry);
          for (const { firstLba, lastLba } of table?.partitions ?? []) {
            assert.ok(firstLba <= lastLba && lastLba < geometry.blocks);
          }
        } catch (error) {
          assert.ok(code('EINVAL', /./)(error), String(error));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('what cannot be a table is not made', () => {
  const make = (partitions: NewGptPartition[], size = geometry) => makeGpt(size, DISK, partitions);
  const [one] = two;
  assert.throws(() => make([{ ...one, firstLba: 33 }]), code('EINVAL', /blocks 33 to 1023 of 34 to 4062/));
  assert.throws(() => make([{ ...one, lastLba: 4063 }]), code('EINVAL', /4063/));
  assert.throws(() => make([{ ...one, lastLba: 33 }]), code('EINVAL', /partition 1/));
  assert.throws(() => make([{ ...one, firstLba: 40.5 }]), code('EINVAL', /partition 1/));
  assert.throws(() => make([{ ...one, typeGuid: GUID_ZERO }]), code('EINVAL', /partition 1/));
  assert.throws(() => make([{ ...one, uniqueGuid: 'x' }]), code('EINVAL', /no GUID/));
  assert.throws(() => make([one, { ...one, firstLba: 1023, lastLba: 1024 }]), code('EINVAL', /2 overlaps partition 1/));
  assert.throws(() => make([{ ...one, name: 'x'.repeat(37) }]), code('ENAMETOOLONG', /36/));
  assert.doesNotThrow(() => make([{ ...one, name: 'x'.repeat(36) }]));
  const many = Array.from({ length: 129 }, (_, i) => ({ ...one, firstLba: 34 + i, lastLba: 34 + i }));
  assert.throws(() => make(many), code('EINVAL', /129 partitions/));
  assert.doesNotThrow(() => make(many.slice(1)));
  assert.throws(() => make([], { blockSizeBytes: 512, blocks: 67 }), code('EINVAL', /no room/));
  assert.doesNotThrow(() => make([], { blockSizeBytes: 512, blocks: 68 }));
  assert.throws(() => make([], { blockSizeBytes: 256, blocks: 4096 }), code('EINVAL', /256/));
});

test('how much of a disk is to be read', () => {
  assert.equal(gptBytes({ blockSizeBytes: 512, blocks: 2 ** 40 }), (2 + 256) * 512);
  assert.equal(gptBytes({ blockSizeBytes: 4096, blocks: 2 ** 40 }), (2 + 32) * 4096);
  assert.equal(gptBytes({ blockSizeBytes: 512, blocks: 100 }), 100 * 512);
});

test('a GUID is stored as the standard says', () => {
  const bytes = new Uint8Array(17);
  encodeGuid(SPDK_GPT_PART_TYPE_GUID.toUpperCase(), bytes, 1);
  assert.equal(Buffer.from(bytes.subarray(1)).toString('hex'), '4e9927655a2cec4e96138f5944074e8b');
  assert.equal(decodeGuid(bytes, 1), SPDK_GPT_PART_TYPE_GUID);
});

const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

/** A folder for a disk image, or null with the test skipped when `program` is missing. */
function imageFor(t: TestContext, program: string, debian: string): string | null {
  if (spawnSync(program, ['--version'], { env }).status !== 0) {
    t.skip(`no ${program}: apt-get install ${debian}`);
    return null;
  }
  const folder = mkdtempSync(join(tmpdir(), 'tspdk-gpt-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, 'disk');
}

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { env, encoding: 'utf8' });
  assert.equal(status, 0, `${program}: ${stdout}${stderr}`);
  return stdout;
}

function imageOf(): Buffer {
  const image = Buffer.alloc(geometry.blocks * 512);
  const { head, tail } = makeGpt(geometry, DISK, [two[0], { ...two[1], name: 'zwölf' }]);
  image.set(head, 0);
  image.set(tail, image.length - tail.length);
  return image;
}

test('sfdisk reads what is made here', (t) => {
  const path = imageFor(t, 'sfdisk', 'fdisk');
  if (path === null) return;
  writeFileSync(path, imageOf());
  const table = JSON.parse(run('sfdisk', '--json', path)).partitiontable;
  assert.deepEqual([table.label, table.id, table.firstlba, table.lastlba], ['gpt', DISK.toUpperCase(), 34, 4062]);
  const seen = table.partitions.map((each: Record<string, unknown>) => [each.start, each.size, each.type, each.name]);
  assert.deepEqual(seen, [
    [34, 990, SPDK_GPT_PART_TYPE_GUID.toUpperCase(), 'first'],
    [2048, 2015, SPDK_GPT_PART_TYPE_GUID_OLD.toUpperCase(), 'zwölf'],
  ]);
});

test('sgdisk finds no fault in what is made here, and what it makes is read', (t) => {
  const path = imageFor(t, 'sgdisk', 'gdisk');
  if (path === null) return;
  writeFileSync(path, imageOf());
  assert.match(run('sgdisk', '--verify', path), /No problems found/);

  writeFileSync(path, Buffer.alloc(geometry.blocks * 512));
  const type = `--typecode=1:${SPDK_GPT_PART_TYPE_GUID}`;
  run(
    'sgdisk',
    '--set-alignment=1',
    '--new=1:100:150',
    type,
    '--change-name=1:Käse',
    '--new=3:0:0',
    `-U=${DISK}`,
    path,
  );
  const image = readFileSync(path);
  const bytes = gptBytes(geometry);
  for (const from of ['primary', 'backup'] as const) {
    if (from === 'backup') image.fill(0, 512, 1024);
    const table = parseGpt(image.subarray(0, bytes), image.subarray(image.length - bytes), geometry);
    assert.equal(table?.from, from);
    assert.equal(table?.diskGuid, DISK);
    const [first, second] = table?.partitions ?? [];
    assert.deepEqual([first.index, first.firstLba, first.lastLba, first.name], [0, 100, 150, 'Käse']);
    assert.equal(first.typeGuid, SPDK_GPT_PART_TYPE_GUID);
    assert.deepEqual([second.index, second.lastLba], [2, 4062]);
  }
});
