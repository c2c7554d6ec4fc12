/** What a raid with superblocks that is made, cannot be made, or is deleted leaves on its disks. Who finds them again: raid-assembly.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultRegistry } from '../../../bdev/index.ts';
import { open } from '../../../bdev/stub-setup.sim.ts';
import { limits } from '../../../env/limits.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import {
  PLUGGABLE_BLOCKS as BLOCKS,
  contents,
  fill,
  Pluggable,
  setUpPluggable as setUp,
  setUpRaid,
  memberStates as states,
  superblockOf as superblock,
} from './raid-setup.sim.ts';

test('a raid that cannot be made leaves nothing behind, on disks or in memory', async () => {
  const { cluster, create, list, settle } = await setUpRaid({ reactors: 2 });
  const disks = [await Pluggable.make(cluster, 'P0', BLOCKS), await Pluggable.make(cluster, 'P1', BLOCKS)];
  await settle();
  const rule = { op: 'write', action: 'error', errno: 'EIO', count: 1 } as const;
  await cluster.until(faultRegistry(cluster.reactors[0]).add('P1', rule));
  const made = () => create('raid1', ['P0', 'P1'], { superblock: true });
  await assert.rejects(made(), { code: 'EIO' });
  assert.deepEqual(await list(), []);
  for (const disk of disks) {
    assert.equal(await superblock(disk), null);
    open(cluster, disk.name).close();
  }
  await made();
  assert.deepEqual(states(await superblock(disks[1])), [1, 1]);
  await cluster.close();
});

test('what cannot be made for its name or uuid writes nothing to the disks', async () => {
  const { cluster, create, list, settle } = await setUpRaid();
  const disks = [await Pluggable.make(cluster, 'P0', BLOCKS), await Pluggable.make(cluster, 'P1', BLOCKS)];
  await settle();
  for (const disk of disks) disk.memory().fill(7, 0, 512);
  const refused = async (code: string, more: object) => {
    await assert.rejects(create('raid1', ['P0', 'P1'], { superblock: true, ...more }), { code }, JSON.stringify(more));
    assert.deepEqual(await list('online'), []);
    for (const disk of disks) assert.ok((await disk.contents()).subarray(0, 512).every((byte) => byte === 7));
  };
  await refused('ENAMETOOLONG', { name: 'é'.repeat(32) });
  await refused('ENAMETOOLONG', { name: '' });
  await refused('EEXIST', { uuid: cluster.bdevs.get('memory-P0').uuid.toUpperCase() });
  const uuid = '6c1d5a1c-9a6e-4f0b-8f0a-2d0c3a1f9b12';
  await create('raid1', ['P2', 'P3'], { name: 'Q', uuid });
  await refused('EEXIST', { uuid });
  await create('raid1', ['P0', 'P1'], { superblock: true, name: `${'é'.repeat(31)}R` });
  await cluster.close();
});

test('[test_delete_raid] superblocks are wiped, too, of a raid that waits for a member that never comes; its disks may then be used', async () => {
  const { cluster, disks, settle, call, create, list } = await setUp(2);
  await call('bdev_raid_delete', { name: 'R' });
  for (const disk of disks) await disk.pull();
  await disks[0].plug();
  await settle();
  assert.deepEqual(
    (await list('configuring')).map(({ name }) => name),
    ['R'],
  );
  const [{ segments }] = cluster.reactors;
  const before = segments.count;
  await call('bdev_raid_delete', { name: 'R', clear_sb: true });
  assert.equal(segments.count, before);
  assert.equal(await superblock(disks[0]), null);
  // One that has written none wipes none.
  disks[0].memory().fill(7, 0, 512);
  await create('raid1', ['P0', 'P1'], { superblock: true });
  await call('bdev_raid_delete', { name: 'R', clear_sb: true });
  assert.ok((await disks[0].contents()).subarray(0, 512).every((byte) => byte === 7));
  await cluster.close();
});

test('disks of large blocks are found again, too; those of blocks that nobody would look at take no superblock', async () => {
  for (const block_size of [16384, 32768, 65536, limits.iobuf_large_bytes]) {
    const { cluster, create, call, list, settle } = await setUpRaid();
    const disks = ['A', 'B'].map((name, i) => ({ name, uuid: `00000000-0000-4000-9000-00000000000${i}` }));
    const plug = async () => {
      for (const { name, uuid } of disks) {
        const base_bdev_name = `memory-${name}`;
        await cluster.until(cluster.bdevs.create('passthru', { name, base_bdev_name, uuid }));
      }
      await settle();
    };
    for (const { name } of disks) await malloc(cluster, `memory-${name}`, 80, { block_size });
    await plug();
    await create('raid1', ['A', 'B'], { superblock: true });
    await fill(cluster, 3);
    await call('bdev_raid_delete', { name: 'R' });
    for (const { name } of disks) await cluster.until(cluster.bdevs.delete(name));
    await plug();
    assert.deepEqual(
      (await list()).map(({ name, state }) => [name, state]),
      [['R', 'online']],
      `${block_size}`,
    );
    assert.ok((await contents(cluster, 'R')).every((byte) => byte === 3));
    await cluster.close();
  }
  const { cluster, create, list } = await setUpRaid();
  for (const name of ['A', 'B']) await malloc(cluster, name, 8, { block_size: 1024 * 1024 });
  await assert.rejects(create('raid1', ['A', 'B'], { superblock: true }), {
    code: 'EINVAL',
    message: 'raid "R": superblocks of 1048576 bytes, limit 135168, a large I/O buffer',
  });
  await create('raid1', ['A', 'B']);
  assert.equal((await list('online')).length, 1);
  await cluster.close();
});

test('a disk that has gone before the raid started says nothing about the blocks of those that come', async () => {
  const { cluster, create, list, settle } = await setUpRaid();
  await create('raid1', ['A', 'B']);
  await malloc(cluster, 'A');
  await settle();
  await cluster.until(cluster.bdevs.delete('A'));
  for (const name of ['A', 'B']) await malloc(cluster, name, 64, { block_size: 4096 });
  await settle();
  assert.deepEqual(
    (await list('online')).map(({ name }) => name),
    ['R'],
  );
  assert.equal(cluster.bdevs.get('R').blockSizeBytes, 4096);
  await cluster.close();
});
