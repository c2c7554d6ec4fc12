/** Disks that come back with what they stand on: passthru, delay, error, split; until they are deleted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cluster, startCluster } from '../../bdev/cluster.sim.ts';
import { faultRegistry } from '../../bdev/index.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../rpc/index.ts';
import './delay/delay-bdev.ts';
import { registerDelayRpc } from './delay/rpc.ts';
import './error/error-bdev.ts';
import { registerErrorRpc } from './error/rpc.ts';
import { malloc } from './malloc/malloc-setup.sim.ts';
import './passthru/passthru-bdev.ts';
import { registerPassthruRpc } from './passthru/rpc.ts';
import { registerSplitRpc } from './split/rpc.ts';
import './split/split-bdev.ts';

const latencies = { avg_read_latency: 0, p99_read_latency: 0, avg_write_latency: 0, p99_write_latency: 0 };
/** A call that makes disks on B, their names, and the call that deletes them. */
const KINDS = [
  ['bdev_passthru_create', { name: 'P', base_bdev_name: 'B' }, ['P'], 'bdev_passthru_delete', { name: 'P' }],
  ['bdev_delay_create', { name: 'D', base_bdev_name: 'B', ...latencies }, ['D'], 'bdev_delay_delete', { name: 'D' }],
  ['bdev_error_create', { base_name: 'B' }, ['EE_B'], 'bdev_error_delete', { name: 'EE_B' }],
  ['bdev_split_create', { base_bdev: 'B', split_count: 2 }, ['Bp0', 'Bp1'], 'bdev_split_delete', { base_bdev: 'B' }],
] as const;

async function setUp() {
  const cluster = await startCluster({ reactors: 2 });
  const rpc = new RpcRegistry();
  const deps = { registry: () => cluster.bdevs, faults: () => faultRegistry(cluster.reactors[0]) };
  registerPassthruRpc(rpc, deps);
  registerDelayRpc(rpc, deps);
  registerErrorRpc(rpc, deps);
  registerSplitRpc(rpc, deps);
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params: object): Promise<unknown> =>
    cluster.until((async () => rpc.call(method, params))());
  return { cluster, call };
}

async function makeBase(cluster: Cluster, more: object = {}): Promise<void> {
  await malloc(cluster, 'B', 64, more);
  await cluster.until(cluster.bdevs.waitForExamine());
}

const names = (cluster: Cluster): string[] => cluster.bdevs.list().map(({ name }) => name);
/** What save_config has of disks on B. */
const saved = (cluster: Cluster, method: string) =>
  cluster.bdevs
    .configCalls()
    .filter((call) => call.method === method)
    .map(({ params }) => params);

for (const [create, params, made, remove, what] of KINDS) {
  test(`${create}: its disks come back with their base, are saved while they wait, and do not come when they are deleted`, async () => {
    const { cluster, call } = await setUp();
    await makeBase(cluster);
    await call(create, params);
    const all = ['B', ...made];
    assert.deepEqual(names(cluster), all);
    const uuids = made.map((name) => cluster.bdevs.get(name).uuid);
    for (let i = 0; i < 2; i++) {
      const before = saved(cluster, create);
      await cluster.until(cluster.bdevs.delete('B'));
      assert.deepEqual(names(cluster), []);
      assert.deepEqual(saved(cluster, create), before, 'while it waits');
      await assert.rejects(call(create, params), { code: 'EEXIST' });
      await makeBase(cluster);
      assert.deepEqual(names(cluster), all);
      assert.deepEqual(
        made.map((name) => cluster.bdevs.get(name).uuid),
        uuids,
      );
    }
    await call(remove, what);
    await cluster.until(cluster.bdevs.delete('B'));
    await makeBase(cluster);
    assert.deepEqual(names(cluster), ['B'], 'deleted while they were there');
    await call(create, params);
    await cluster.until(cluster.bdevs.delete('B'));
    await call(remove, what);
    assert.deepEqual(saved(cluster, create), []);
    await makeBase(cluster);
    assert.deepEqual(names(cluster), ['B'], 'deleted while they waited');
    // Asked for before there is a base.
    await cluster.until(cluster.bdevs.delete('B'));
    await call(create, params);
    assert.deepEqual(saved(cluster, create), [params]);
    await makeBase(cluster);
    assert.deepEqual(names(cluster), all);
    await cluster.close();
  });
}

test('a delay disk comes back with the latencies it had last; a base that does not fit is waited for again', async () => {
  const { cluster, call } = await setUp();
  await makeBase(cluster);
  await call('bdev_delay_create', { name: 'D', base_bdev_name: 'B', ...latencies });
  const update = { delay_bdev_name: 'D', latency_type: 'avg_write', latency_us: 77 };
  await call('bdev_delay_update_latency', update);
  await call('bdev_split_create', { base_bdev: 'D', split_count: 4 });
  await cluster.until(cluster.bdevs.delete('B'));
  await makeBase(cluster, { num_blocks: 3 });
  assert.deepEqual(names(cluster), ['B', 'D'], 'three blocks are not four disks');
  assert.equal(saved(cluster, 'bdev_delay_create')[0].avg_write_latency, 77);
  assert.equal(saved(cluster, 'bdev_split_create').length, 1);
  await cluster.until(cluster.bdevs.delete('B'));
  await makeBase(cluster);
  assert.deepEqual(names(cluster), ['B', 'D', 'Dp0', 'Dp1', 'Dp2', 'Dp3']);
  await cluster.close();
});

test('a disk that is deleted while it is made on its base is not there afterwards', async () => {
  const { cluster, call } = await setUp();
  await call('bdev_passthru_create', { name: 'P', base_bdev_name: 'B' });
  // What is made of a new disk is begun before its maker hears of it.
  const making = cluster.bdevs.create('malloc', { name: 'B', block_size: 512, num_blocks: 64 });
  const deleting = making.then(() => {
    assert.deepEqual(names(cluster), ['B'], 'the other is being made');
    return cluster.bdevs.delete('P', 'passthru');
  });
  await cluster.until(deleting);
  await cluster.until(cluster.bdevs.waitForExamine());
  assert.deepEqual(names(cluster), ['B']);
  await cluster.close();
});
