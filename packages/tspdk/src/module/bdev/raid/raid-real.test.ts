/** RAID disks on real reactors, two threads: both cores write while a member goes and another is rebuilt, and nothing is left at the end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as tick } from 'node:timers/promises';
import { bdevRegistry, faultRegistry } from '../../../bdev/index.ts';
import { App } from '../../../event/index.ts';
import { RPC_RUNTIME } from '../../../rpc/index.ts';
import { bdevSubsystem } from '../index.ts';
import { fixtureUrl, writeAndRead } from '../real-reactors.fixture.ts';
import type { RaidDisk } from './raid-disk.ts';
import { RAID0, RAID1, RAID5F } from './raid-level.ts';
import { raidRegistry } from './raid-registry.ts';

const BYTES = 65536;

async function bothCores(app: App, segment: number, value: number): Promise<void> {
  const wrong = await Promise.all(
    app.cores.map((core, i) =>
      app.call(core, writeAndRead, { name: 'R', segment, at: i * 2 * BYTES, bytes: BYTES, value: value + i }),
    ),
  );
  assert.deepEqual(wrong, [0, 0]);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await tick();
}

async function goThrough(app: App, disk: RaidDisk, segment: number): Promise<void> {
  const bdevs = bdevRegistry(app.reactor);
  const raids = raidRegistry(app.reactor);
  const malloc = (name: string) => bdevs.create('malloc', { name, block_size: 512, num_blocks: 4096 });
  // A member fails a write, another one takes its place while both cores write.
  const rule = { op: 'write', action: 'error', errno: 'EIO', count: 1, offset_blocks: 100 } as const;
  await faultRegistry(app.reactor).add('M1', rule);
  await bothCores(app, segment, 10);
  await until(() => disk.slots[1].base === null);
  raids.options.process_window_size_kb = 16;
  await malloc('New');
  await raids.addBaseBdev('R', 'New');
  for (let value = 20; disk.process !== null || value < 60; value += 10) await bothCores(app, segment, value % 200);
  await until(() => disk.slots[1].good);
  await bothCores(app, segment, 200);
  // What is left without the first member is what the new one holds.
  await bdevs.delete('M0');
  await bothCores(app, segment, 210);
}

for (const [what, level, stripSizeKb, names] of [
  ['raid0', RAID0, 64, ['M0', 'M1']],
  ['raid1', RAID1, 0, ['M0', 'M1']],
  ['raid5f', RAID5F, 16, ['M0', 'M1', 'M2']],
] as const) {
  test(`${what} serves both cores at once, and nothing is left at the end`, async () => {
    const options = { cores: [0, 1], pin: false, signals: false, modules: [fixtureUrl], subsystems: [bdevSubsystem] };
    let failed: unknown = null;
    const rc = await App.start(options, async (app) => {
      for (const name of names) {
        await bdevRegistry(app.reactor).create('malloc', { name, block_size: 512, num_blocks: 4096 });
      }
      const raids = raidRegistry(app.reactor);
      const disk = await raids.create({ name: 'R', level, stripSizeKb, superblock: true, baseBdevs: names });
      const memory = await app.shareSegment(4 * BYTES);
      try {
        await bothCores(app, memory.id, 1);
        if (level !== RAID0) await goThrough(app, disk, memory.id);
      } catch (error) {
        failed = error;
      }
      await app.dropSegment(memory);
      app.stop(0);
    });
    if (failed !== null) throw failed;
    assert.equal(rc, 0, 'a leak would make it 1');
  });
}

test('raids that are there and raids that wait are in the configuration, and come back from it', async () => {
  const options = { cores: [0], pin: false, signals: false, subsystems: [bdevSubsystem] };
  const configs: { method: string; params: object }[][] = [];
  const saved = async (app: App) => {
    const all = (await bdevSubsystem.writeConfig?.(app)) as { method: string; params: object }[];
    return all.filter(({ method }) => method.startsWith('bdev_raid') || method.startsWith('bdev_malloc'));
  };
  await App.start(options, async (app) => {
    app.rpc.state = RPC_RUNTIME;
    const create = (params: object) => app.rpc.call('bdev_raid_create', params);
    for (const name of ['M0', 'M1']) {
      await app.rpc.call('bdev_malloc_create', { name, num_blocks: 256, block_size: 512 });
    }
    await create({ name: 'R', raid_level: 'raid0', strip_size_kb: 4, base_bdevs: ['M1', 'M0'] });
    await create({ name: 'W', raid_level: '1', base_bdevs: ['M2', 'M3'], superblock: true });
    await app.rpc.call('bdev_raid_set_options', { process_window_size_kb: 64 });
    configs.push(await saved(app));
    app.stop(0);
  });
  assert.deepEqual(
    configs[0].map(({ method }) => method),
    ['bdev_raid_set_options', 'bdev_raid_create', 'bdev_malloc_create', 'bdev_malloc_create', 'bdev_raid_create'],
  );
  await App.start(options, async (app) => {
    app.rpc.state = RPC_RUNTIME;
    for (const { method, params } of configs[0]) await app.rpc.call(method, params);
    configs.push(await saved(app));
    assert.equal(bdevRegistry(app.reactor).get('R').blocks, 512);
    app.stop(0);
  });
  assert.deepEqual(configs[1], configs[0]);
});
