// fio checks every block it has written to a RAID disk over NBD, while members are taken out of it and others are rebuilt in their place.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start } from './client.ts';
import { nbdUri } from './nbd-server.ts';
import { rpcCall } from './rpc.ts';
import { scratch } from './scratch.ts';
import { requiresServer, serverKind, startServer } from './server.ts';
import { isTarget } from './target.ts';

interface Raid {
  readonly process?: object;
  readonly num_base_bdevs_operational: number;
  readonly base_bdevs_list: readonly { readonly name: string | null }[];
}

const seconds = Math.max(2, Math.round(Number(process.env.TSPDK_FIO_SECONDS ?? 60) / 10));
for (const { level, members, strip, jobs } of [
  { level: 'raid1', members: 3, strip: 0, jobs: ['--rw=randrw', '--bsrange=512-128k', '--iodepth=16'] },
  // A stripe is 192 KiB: no number of I/O buffers of the target's.
  { level: 'raid5f', members: 4, strip: 64, jobs: ['--rw=randrw', '--bs=192k', '--iodepth=8'] },
]) {
  test(`fio verifies ${level} while its members are replaced`, async (t) => {
    if (serverKind !== 'tspdk') return t.skip('for tspdk only');
    if (!requiresServer(t, 'fio')) return;
    const server = await startServer(t, { sizeBytes: 1 << 20, reactors: 2 });
    assert(isTarget(server));
    const call = <Result>(method: string, params: object) => rpcCall<Result>(server.rpcPath, method, params);
    let made = 0;
    const disk = async (): Promise<string> =>
      call<string>('bdev_malloc_create', { name: `M${made++}`, num_blocks: 65536, block_size: 512 });
    const base_bdevs = [];
    for (let i = 0; i < members; i++) base_bdevs.push(await disk());
    await call('bdev_raid_create', {
      name: 'R',
      raid_level: level,
      strip_size_kb: strip,
      base_bdevs,
      superblock: true,
    });
    await call('nbd_export_add', { name: 'raid', bdev_name: 'R' });
    const fio = start(
      t,
      'fio',
      [
        '--name=verify',
        '--ioengine=nbd',
        `--uri=${nbdUri(server.address, 'raid')}`,
        '--verify=crc32c',
        '--verify_fatal=1',
        '--verify_state_save=0',
        '--verify_backlog=64',
        '--serialize_overlap=1',
        '--randrepeat=0',
        '--thread',
        '--size=28M',
        '--time_based',
        `--runtime=${seconds}`,
        ...jobs,
      ],
      { timeoutMs: (seconds + 60) * 1000, cwd: scratch(t) },
    );
    let ended = false;
    const finished = fio.finished.finally(() => {
      ended = true;
    });
    const raid = async () => (await call<Raid[]>('bdev_raid_get_bdevs', { category: 'online' }))[0] as Raid;
    let replaced = 0;
    while (!ended) {
      const { base_bdevs_list } = await raid();
      const name = base_bdevs_list[replaced % members]?.name as string;
      await call('bdev_raid_remove_base_bdev', { name });
      await call('bdev_malloc_delete', { name });
      await call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: await disk() });
      while ((await raid()).num_base_bdevs_operational < members) {}
      replaced++;
    }
    const { code, stdout, stderr } = await finished;
    assert.equal(code, 0, stdout + stderr);
    t.diagnostic(`${replaced} members were replaced`);
    assert(replaced > 0);
    await server.stop();
  });
}
