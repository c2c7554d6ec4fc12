// Disks as people name them on a command line: sizes, files, modules, and what is none of them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { parseDiskArgument } from './disk-argument.ts';

const code = (expected: string, message: RegExp) => (error: unknown) =>
  error instanceof SpdkError && error.code === expected && message.test(error.message);

test('sizes', () => {
  const sizes: [string, number][] = [
    ['64M', 64 * 2 ** 20],
    ['1G', 2 ** 30],
    ['1.5g', 1.5 * 2 ** 30],
    ['2TiB', 2 ** 41],
    ['512', 512],
    ['4KB', 4096],
  ];
  for (const [text, sizeBytes] of sizes) assert.deepEqual(parseDiskArgument(text), { kind: 'memory', sizeBytes });
  for (const text of ['0', '513', '0.1K'])
    assert.throws(() => parseDiskArgument(text), code('EINVAL', /multiple of 512/));
});

test('null: before a size is a disk that keeps nothing', () => {
  assert.deepEqual(parseDiskArgument('null:1G'), { kind: 'null', sizeBytes: 2 ** 30 });
  assert.throws(() => parseDiskArgument('null:513'), code('EINVAL', /multiple of 512/));
  for (const text of ['null:', 'null:x']) assert.throws(() => parseDiskArgument(text), code('EINVAL', /not a size/));
});

test('files, modules, and what is neither', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-'));
  try {
    for (const name of ['64M', 'disk.img', 'disk.ts', 'disk.mjs']) writeFileSync(join(dir, name), '');
    assert.deepEqual(parseDiskArgument(join(dir, '64M')), { kind: 'file', path: join(dir, '64M') });
    assert.deepEqual(parseDiskArgument(join(dir, 'disk.img')), { kind: 'file', path: join(dir, 'disk.img') });
    assert.equal(parseDiskArgument(join(dir, 'disk.ts')).kind, 'module');
    assert.equal(parseDiskArgument(join(dir, 'disk.mjs')).kind, 'module');
    assert.throws(() => parseDiskArgument(join(dir, 'none.img')), code('ENOENT', /none\.img/));
    assert.throws(() => parseDiskArgument(dir), code('EINVAL', /directory/));
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('faults and options behind a ?', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-'));
  try {
    const module = join(dir, 'disk.mjs');
    for (const name of ['disk.mjs', 'disk.img', 'what?.img']) writeFileSync(join(dir, name), '');
    const rule = 'op=read,action=error';
    assert.deepEqual(parseDiskArgument(`malloc:1M?fault=${rule}&fault=op=write,action=lost`), {
      kind: 'memory',
      sizeBytes: 2 ** 20,
      faults: [rule, 'op=write,action=lost'],
    });
    assert.deepEqual(parseDiskArgument(`${module}?bucket=a%26b&fault=${rule}`), {
      kind: 'module',
      path: module,
      options: { bucket: 'a&b' },
      faults: [rule],
    });
    assert.deepEqual(parseDiskArgument(`file:${module}`), { kind: 'file', path: module });
    assert.deepEqual(parseDiskArgument(join(dir, 'what?.img')), { kind: 'file', path: join(dir, 'what?.img') });
    for (const [text, message] of [
      ['1M?fault=op=rea', /op "rea", may be all, read/],
      ['1M?size=2M', /"size" is an option, which only modules take/],
      ['1M?fault', /"fault" is not KEY=VALUE/],
      [`${module}?a=%zz`, /is not %XX/],
      ['malloc:x', /follows "malloc:" is not a size/],
    ] as const) {
      assert.throws(() => parseDiskArgument(text), code('EINVAL', message), text);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
