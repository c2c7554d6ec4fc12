/** What save_config writes of disks makes them again, though some come by themselves, when they have been found, and some are older than what they stand on. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Cluster, startCluster } from '../../bdev/cluster.sim.ts';
import { faultRegistry, registerBdevRpc } from '../../bdev/index.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../rpc/index.ts';
import './error/error-bdev.ts';
import { registerErrorRpc } from './error/rpc.ts';
import { registerFileRpc } from './file/rpc.ts';
import { examineGpt } from './gpt/gpt-bdev.ts';
import { makeGpt, SPDK_GPT_PART_TYPE_GUID } from './gpt/gpt-table.ts';
import './raid/raid-bdev.ts';
import { raidRegistry } from './raid/raid-registry.ts';
import { registerRaidRpc } from './raid/rpc.ts';
import { registerSplitRpc } from './split/rpc.ts';
import './split/split-bdev.ts';
import { registerVerifyRpc } from './verify/rpc.ts';
import './verify/verify-bdev.ts';

const dir = mkdtempSync(join(tmpdir(), 'tspdk-saved-'));
after(() => rmSync(dir, { recursive: true }));

/** An application's disks, and the methods that make them. */
async function world(options: object = {}) {
  const cluster = await startCluster();
  await cluster.until(cluster.bdevs.setOptions(options));
  const raids = raidRegistry(cluster.reactors[0]);
  cluster.bdevs.examineHooks.push(examineGpt);
  const rpc = new RpcRegistry();
  const deps = {
    registry: () => cluster.bdevs,
    faults: () => faultRegistry(cluster.reactors[0]),
    nowUs: () => cluster.clock.nowUs,
  };
  registerBdevRpc(rpc, deps);
  registerErrorRpc(rpc, deps);
  registerFileRpc(rpc, deps);
  registerRaidRpc(rpc, { raids: () => raids });
  registerSplitRpc(rpc, deps);
  registerVerifyRpc(rpc, deps);
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params: object) => cluster.until((async () => rpc.call(method, params))());
  const settle = () => cluster.until(cluster.bdevs.waitForExamine());
  return { cluster, call, settle };
}

const describe = ({ bdevs }: Cluster) =>
  bdevs.list().map(({ name, uuid, rates }) => JSON.stringify({ name, uuid, rates }));

/** The methods that are saved, without options. */
const saved = ({ bdevs }: Cluster) => bdevs.configCalls().slice(1);

/** Ends the application, and has another make what it had. */
async function again(cluster: Cluster): Promise<void> {
  const calls = saved(cluster);
  const options = { ...cluster.bdevs.options };
  const before = describe(cluster).sort();
  await cluster.close();
  const next = await world(options);
  for (const { method, params } of calls) await next.call(method, params);
  assert.deepEqual(describe(next.cluster).sort(), before);
  assert.deepEqual(next.cluster.bdevs.options, options);
  await next.cluster.close();
}

function newFile(name: string, bytes: number): string {
  const filename = join(dir, name);
  writeFileSync(filename, '');
  truncateSync(filename, bytes);
  return filename;
}

test('a limit, and a disk on partitions that are found', async () => {
  const { cluster, call, settle } = await world();
  const part = (n: number) => ({
    typeGuid: SPDK_GPT_PART_TYPE_GUID,
    uniqueGuid: `00000000-0000-4000-8000-00000000000${n}`,
    firstLba: 64 * n,
    lastLba: 64 * n + 63,
  });
  const { head } = makeGpt({ blockSizeBytes: 512, blocks: 8192 }, part(0).uniqueGuid, [part(1), part(2), part(3)]);
  const filename = newFile('gpt', 0);
  writeFileSync(filename, head);
  truncateSync(filename, 8192 * 512);
  await call('bdev_aio_create', { name: 'G', filename });
  await settle();
  await call('bdev_set_qos_limit', { name: 'Gp1', rw_mbytes_per_sec: 7 });
  await call('bdev_verify_create', { name: 'V', base_bdev_name: 'Gp2', mirror_bdev_name: 'Gp3' });
  const wait = 'bdev_wait_for_examine';
  const methods = ['bdev_aio_create', wait, 'bdev_set_qos_limit', 'bdev_verify_create', wait];
  assert.deepEqual(
    saved(cluster).map(({ method }) => method),
    methods,
  );
  await again(cluster);
});

for (const superblock of [false, true]) {
  test(`a raid with a member that is younger than what stands on it, superblock ${superblock}`, async () => {
    const { cluster, call, settle } = await world();
    const member = (n: number) => ({
      name: `F${n}`,
      filename: join(dir, `member${n}`),
      uuid: `00000000-0000-4000-8000-0000000000f${n}`,
    });
    for (const n of [0, 1]) {
      newFile(`member${n}`, 4 * 1024 * 1024);
      await call('bdev_aio_create', member(n));
    }
    const raid = { name: 'R', raid_level: 'raid1', base_bdevs: ['F0', 'F1'], superblock };
    await call('bdev_raid_create', raid);
    await call('bdev_set_qos_limit', { name: 'R', rw_mbytes_per_sec: 900 });
    await call('bdev_split_create', { base_bdev: 'R', split_count: 2 });
    await call('bdev_verify_create', { name: 'V', base_bdev_name: 'Rp0', mirror_bdev_name: 'Rp1' });
    await call('bdev_aio_delete', { name: 'F1' });
    await call('bdev_aio_create', member(1));
    await settle();
    if (!superblock) await call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: 'F1' });
    const { slots } = raidRegistry(cluster.reactors[0]).get('R');
    await cluster.untilTrue(() => slots.every(({ good }) => good));
    await again(cluster);
  });
}

test('a raid with superblocks, where disks are not looked at by themselves', async () => {
  const { cluster, call } = await world({ bdev_auto_examine: false });
  for (const n of [2, 3]) {
    const uuid = `00000000-0000-4000-8000-0000000000f${n}`;
    await call('bdev_aio_create', { name: `F${n}`, filename: newFile(`member${n}`, 4 * 1024 * 1024), uuid });
  }
  await call('bdev_examine', { name: 'F3' });
  await call('bdev_raid_create', { name: 'R', raid_level: 'raid1', base_bdevs: ['F2', 'F3'], superblock: true });
  await call('bdev_set_qos_limit', { name: 'R', rw_mbytes_per_sec: 900 });
  const names = saved(cluster).filter(({ method }) => method === 'bdev_examine');
  assert.deepEqual(
    names.map(({ params }) => params.name),
    ['F3', 'F2'],
  );
  await again(cluster);
});

test('disks that are called after their base, which was named by its uuid', async () => {
  const { cluster, call } = await world();
  const uuid = (n: number) => `00000000-0000-4000-8000-0000000000a${n}`;
  for (const n of [1, 2]) {
    await call('bdev_aio_create', { name: `A${n}`, filename: newFile(`alias${n}`, 1024 * 1024), uuid: uuid(n) });
  }
  await call('bdev_error_create', { base_name: uuid(1) });
  assert.deepEqual(await call('bdev_split_create', { base_bdev: uuid(2), split_count: 2 }), [
    `${uuid(2)}p0`,
    `${uuid(2)}p1`,
  ]);
  await again(cluster);
});
