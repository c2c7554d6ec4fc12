// The programs of docs/block-layer.md: each runs and says what it should, and what the page shows of them is what they are.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { allowedCores, BdevDesc, type BdevRegistry } from 'tspdk';
import 'tspdk/target';
import { checkPage } from '../_page.ts';

function run(name: string): string {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const file = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', env });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

test('hello-bdev: every core reads its own greeting', () => {
  const cores = allowedCores().slice(0, 4);
  const greetings = cores.map((core) => `Hello World from core ${core}!\n`).join('');
  assert.equal(run('hello-bdev'), `${greetings}${cores.length * 4096} bytes written\n`);
});

test('tour', () => {
  assert.deepEqual(run('tour').trimEnd().split('\n'), [
    'Malloc0: Malloc disk, 2048 blocks, writable',
    'Above: passthru, 2048 blocks, writable',
    'Zeroes: User disk, 2048 blocks, read-only',
    'write ok',
    'readv ok',
    'comparev ok',
    'copy ok',
    'unmap ok',
    'comparev EILSEQ',
    'past the end EINVAL',
    'reset ok',
    'bdev "Above" is claimed: exclusive_write',
    'unquiesced, written',
    '20 reads of 10240 bytes; the histogram has 20',
    'faulty ENOSPC',
    '512 bytes take too long: aborted 1',
    'stuck ECANCELED',
    'blocks of 520 bytes, 512 of them data',
    'protected ok',
    'checked ok',
    'one bit EIO',
    'nbd://127.0.0.1:PORT/disk',
    'NBDMAGIC',
    'Above: remove',
  ]);
});

test('what TypeScript lets nobody write of disks', () => {
  const wrong: ((bdevs: BdevRegistry) => unknown)[] = [
    // @ts-expect-error: a memory disk has num_blocks
    (bdevs) => bdevs.create('malloc', { name: 'Malloc0', block_size: 512, blocks: 8 }),
    // @ts-expect-error: a remote export has an address
    (bdevs) => bdevs.create('nbd', { name: 'Nbd0' }),
    // @ts-expect-error: what is on another disk names it
    (bdevs) => bdevs.createOn('Malloc0', 'passthru', { name: 'Above' }),
    // @ts-expect-error: reading or writing is said, and who hears of a removal
    () => BdevDesc.open('Malloc0', {}),
    // @ts-expect-error: limits have SPDK's names
    (bdevs) => bdevs.setRates('Malloc0', { iops: 1000 }),
  ];
  assert.equal(wrong.length, 5);
});

test('what the page shows is in the files, line by line', () => checkPage('block-layer.md', 10));
