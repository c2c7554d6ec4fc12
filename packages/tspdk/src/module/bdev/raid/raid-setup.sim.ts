/** What the tests of RAID disks start from: memory or stub disks, the RPC methods, and reading all of a disk. */
import assert from 'node:assert/strict';
import { type Cluster, type ClusterOptions, startCluster } from '../../../bdev/cluster.sim.ts';
import { channelOf, make, open } from '../../../bdev/stub-setup.sim.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../../rpc/index.ts';
import '../malloc/malloc-bdev.ts';
import './raid-bdev.ts';
import { raidRegistry } from './raid-registry.ts';
import { registerRaidRpc } from './rpc.ts';

/** A raid as bdev_raid_get_bdevs tells it, as far as tests look. */
export interface RaidInfo {
  readonly name: string;
  readonly state: string;
  readonly num_base_bdevs_discovered: number;
  readonly num_base_bdevs_operational: number;
  readonly process?: {
    readonly target: string;
    readonly progress: { readonly blocks: number; readonly percent: number };
  };
  readonly base_bdevs_list: { readonly name: string | null; readonly is_configured: boolean; readonly uuid: string }[];
}

export async function setUpRaid(options: ClusterOptions = {}) {
  const cluster = await startCluster(options);
  const raids = raidRegistry(cluster.reactors[0]);
  const rpc = new RpcRegistry();
  registerRaidRpc(rpc, { raids: () => raids });
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params?: object) => cluster.until((async () => rpc.call(method, params))());
  const create = (raid_level: string, base_bdevs: string[], more: object = {}) =>
    call('bdev_raid_create', {
      name: 'R',
      raid_level,
      base_bdevs,
      ...(raid_level === 'raid1' ? {} : { strip_size_kb: 4 }),
      ...more,
    });
  const list = async (category = 'all') => (await call('bdev_raid_get_bdevs', { category })) as RaidInfo[];
  const settle = () => cluster.until(cluster.bdevs.waitForExamine());
  return { cluster, raids, call, create, list, settle };
}

let uuids = 0;

export const malloc = (cluster: Cluster, name: string, blocks = 256, more: object = {}) =>
  cluster.until(cluster.bdevs.create('malloc', { name, block_size: 512, num_blocks: blocks, ...more }));

/** Stub disks whose names no other test has. */
export async function stubDisks(cluster: Cluster, count: number, params: object = {}): Promise<string[]> {
  const names = Array.from({ length: count }, () => `raid-stub-${++uuids}`);
  for (const name of names) await make(cluster, { name, ...params });
  return names;
}

/** All that is on a disk. */
export async function contents(cluster: Cluster, name: string): Promise<Uint8Array> {
  const desc = open(cluster, name, false);
  const channel = channelOf(cluster, desc);
  const { sizeBytes } = desc.bdev;
  const buf = cluster.memory(sizeBytes);
  const done: number[] = [];
  assert.equal(
    channel.read(buf, 0, 0, sizeBytes, (_, status) => void done.push(status), null),
    0,
  );
  await cluster.untilTrue(() => done.length > 0);
  assert.deepEqual(done, [0], `reading ${name}`);
  desc.close();
  const bytes = Uint8Array.from(buf.u8);
  cluster.forget(buf);
  return bytes;
}
