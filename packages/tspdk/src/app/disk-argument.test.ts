// Disks as people name them on a command line: sizes, files, modules, and what is none of them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { parseDiskArgument } from './disk-argument.ts';
import { diskRecipe } from './disk-recipe.ts';

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
    // Also those that Node does not run: as a raw disk clients would write over somebody's program.
    const modules = ['disk.ts', 'disk.mts', 'disk.cts', 'disk.js', 'disk.mjs', 'disk.cjs', 'disk.tsx', 'disk.jsx'];
    for (const name of ['64M', 'disk.img', ...modules]) writeFileSync(join(dir, name), '');
    assert.deepEqual(parseDiskArgument(join(dir, '64M')), { kind: 'file', path: join(dir, '64M') });
    assert.deepEqual(parseDiskArgument(join(dir, 'disk.img')), { kind: 'file', path: join(dir, 'disk.img') });
    for (const name of modules) assert.equal(parseDiskArgument(join(dir, name)).kind, 'module', name);
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
      ['1M?size=2M', /"size" is no option of such a disk; only modules, NBD exports and RBD images take options/],
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

test('exports and images, with their options', () => {
  const tcp = 'nbd://127.0.0.1:10809/disk';
  const unix = 'nbd+unix:///a%20disk?socket=/tmp/a.sock';
  assert.deepEqual(parseDiskArgument(tcp), { kind: 'nbd', uri: tcp });
  assert.deepEqual(parseDiskArgument(unix), { kind: 'nbd', uri: unix });
  assert.deepEqual(parseDiskArgument(`${unix}&io_timeout_sec=5&fault=op=read,action=error`), {
    kind: 'nbd',
    uri: unix,
    faults: ['op=read,action=error'],
    options: { io_timeout_sec: '5' },
  });
  assert.deepEqual(parseDiskArgument('rbd:pool/image?user_id=u&mon_host=10.0.0.1'), {
    kind: 'rbd',
    pool: 'pool',
    image: 'image',
    options: { user_id: 'u', mon_host: '10.0.0.1' },
  });
  for (const [text, message] of [
    ['nbds://host/disk', /TLS is not supported/],
    ['nbd+unix:///disk', /there is no socket=PATH/],
    [`${tcp}?io_timeout=5`, /"io_timeout" is no option .* takes reconnect_delay_ms and io_timeout_sec/],
    ['rbd:image', /what follows "rbd:" is POOL\/IMAGE/],
  ] as const) {
    assert.throws(() => parseDiskArgument(text), code('EINVAL', message), text);
  }
});

test('how each kind is made, with what it is opened with', () => {
  const recipe = (text: string, use = {}) => diskRecipe('d', parseDiskArgument(text), use);
  const use = { blockBytes: 4096, readOnly: true, direct: true };
  const rbd = { pool_name: 'p', rbd_name: 'i', block_size: 4096 };
  const remote = 'nbd://h/e?io_timeout_sec=5';
  for (const [made, expected] of [
    [recipe('1M'), { module: 'malloc', params: { name: 'd', block_size: 512, num_blocks: 2048 } }],
    [recipe('null:1M', use), { module: 'null', params: { name: 'd', block_size: 4096, num_blocks: 256 } }],
    [recipe('/dev/null'), { module: 'uring', params: { name: 'd', filename: '/dev/null', direct: false } }],
    [
      recipe('/dev/null', use),
      {
        module: 'uring',
        params: { name: 'd', filename: '/dev/null', block_size: 4096, readonly: true, direct: true },
      },
    ],
    [recipe(remote), { module: 'nbd', params: { name: 'd', uri: 'nbd://h/e', io_timeout_sec: 5 } }],
    [
      recipe('nbd://h/e', { options: { reconnect_delay_ms: '7' } }),
      { module: 'nbd', params: { name: 'd', uri: 'nbd://h/e', reconnect_delay_ms: 7 } },
    ],
    [
      recipe('rbd:p/i?user_id=u&mon_host=h'),
      { module: 'rbd', params: { name: 'd', ...rbd, user_id: 'u', config: { mon_host: 'h' } } },
    ],
    [
      recipe('rbd:p/i?cluster_name=c', { ...use, blockBytes: 512 }),
      { module: 'rbd', params: { name: 'd', ...rbd, block_size: 512, cluster_name: 'c', read_only: true } },
    ],
  ] as const) {
    assert.deepEqual(made, expected);
  }
  assert.throws(() => recipe('1M', { blockBytes: 3 * 512 }), code('EINVAL', /not a multiple of the block size 1536/));
  assert.throws(() => recipe(remote, { blockBytes: 512 }), code('EINVAL', /block size 512: nbd:.* has its own/));
  assert.throws(() => recipe('nbd://h/e?io_timeout_sec=x'), code('EINVAL', /io_timeout_sec is "x"/));
  assert.throws(() => recipe('1M', { options: { a: 'b' } }), code('EINVAL', /"a" is no option of such a disk/));
});
