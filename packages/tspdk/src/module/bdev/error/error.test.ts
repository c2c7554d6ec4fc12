/** SPDK's error and delay disks by their RPCs: what they inject is what the fault rules do; here is that the RPCs say the right rules. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { faultRegistry } from '../../../bdev/faults/registry.ts';
import { faultText } from '../../../bdev/faults/rule.ts';
import { stubChannel } from '../../../bdev/stub-module.sim.ts';
import { channelOf, make, open } from '../../../bdev/stub-setup.sim.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../../rpc/index.ts';
import { registerDelayRpc } from '../delay/rpc.ts';
import '../delay/delay-bdev.ts';
import { registerErrorRpc } from './rpc.ts';
import './error-bdev.ts';

async function setUp(base: string) {
  const cluster = await startCluster();
  const rpc = new RpcRegistry();
  const deps = { registry: () => cluster.bdevs, faults: () => faultRegistry(cluster.reactors[0]) };
  registerErrorRpc(rpc, deps);
  registerDelayRpc(rpc, deps);
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params?: object) => cluster.until((async () => rpc.call(method, params))());
  await make(cluster, { name: base });
  const rules = (name: string) =>
    deps
      .faults()
      .list(name)
      .map(({ rule }) => faultText({ ...rule, seed: 0 }));
  return { cluster, call, rules };
}

test('bdev_error_inject_error: each kind of error, on the disk EE_BASE and not on its base', async () => {
  const { cluster, call, rules } = await setUp('ErrBase');
  const disk = 'EE_ErrBase';
  assert.equal(await call('bdev_error_create', { base_name: 'ErrBase' }), true);
  const inject = (io_type: string, error_type: string, more = {}) =>
    call('bdev_error_inject_error', { name: disk, io_type, error_type, ...more });
  await inject('read', 'failure');
  await inject('flush', 'nomem', { num: 4, queue_depth: 8 });
  await inject('all', 'corrupt_data', { corrupt_offset: 3, corrupt_value: 7 });
  await inject('write', 'nvme_failure', { nvme_sct: 0, nvme_sc: 4 });
  assert.deepEqual(rules(disk), [
    'op=read,action=error,errno=EIO,count=1',
    'op=flush,action=nomem,queue_depth=8,count=4',
    'op=read,action=corrupt,corrupt_offset=3,corrupt_value=7,count=1',
    'op=write,action=corrupt,corrupt_offset=3,corrupt_value=7,count=1',
    'op=write,action=error,errno=EIO,count=1',
  ]);
  assert.deepEqual(rules('ErrBase'), []);
  await inject('clear', 'failure');
  await inject('write', 'pending');
  const desc = open(cluster, disk);
  const channel = channelOf(cluster, desc);
  const done: string[] = [];
  const buf = cluster.memory(512);
  const write = (name: string) =>
    channel.write(buf, 0, 0, 512, (ctx, status) => void done.push(`${ctx} ${status}`), name);
  assert.equal(write('a'), 0);
  assert.equal(stubChannel('ErrBase').outstanding.length, 0);
  assert.equal(await call('bdev_error_resume_pending', { name: disk }), true);
  stubChannel('ErrBase').complete(1);
  cluster.turns();
  assert.deepEqual(done, ['a 0']);
  await assert.rejects(call('bdev_error_inject_error', { name: 'ErrBase', io_type: 'read', error_type: 'failure' }), {
    code: 'ENODEV',
  });
  desc.close();
  await call('bdev_error_delete', { name: disk });
  assert.deepEqual(
    cluster.bdevs.list().map(({ name }) => name),
    ['ErrBase'],
  );
  await cluster.close();
});

test('bdev_delay_create, bdev_delay_update_latency: latencies are rules, are changed one by one, and are in the configuration', async () => {
  const { cluster, call, rules } = await setUp('DelayBase');
  const latencies = { avg_read_latency: 10, p99_read_latency: 100, avg_write_latency: 0, p99_write_latency: 0 };
  const params = { name: 'D', base_bdev_name: 'Later', ...latencies };
  assert.equal(await call('bdev_delay_create', params), 'D');
  assert.throws(() => cluster.bdevs.get('D'), { code: 'ENODEV' }, 'it waits for its base');
  await cluster.until(cluster.bdevs.addAlias('DelayBase', 'Later'));
  await make(cluster, { name: 'Later2', aliases: [] });
  assert.throws(() => cluster.bdevs.get('D'), { code: 'ENODEV' });
  assert.equal(await call('bdev_delay_create', { ...params, name: 'E', base_bdev_name: 'DelayBase' }), 'E');
  const read = 'op=read,action=delay,stage=completion,delay_us=10,delay_max_us=100,distribution=p99';
  assert.deepEqual(rules('E'), [read]);
  const update = (latency_type: string, latency_us: number) =>
    call('bdev_delay_update_latency', { delay_bdev_name: 'E', latency_type, latency_us });
  await update('p99_write', 7);
  assert.deepEqual(rules('E'), [read, 'op=write,action=delay,stage=completion,delay_max_us=7,distribution=p99']);
  const { uuid } = cluster.bdevs.get('E');
  assert.deepEqual(cluster.bdevs.configCalls().find(({ method }) => method === 'bdev_delay_create')?.params, {
    name: 'E',
    base_bdev_name: 'DelayBase',
    ...latencies,
    p99_write_latency: 7,
    uuid,
  });
  await assert.rejects(update('avg_read', 3_600_000_001), { code: 'EINVAL', message: /limit 0 to 3600000000/ });
  await update('avg_read', 0);
  await update('p99_read', 0);
  await update('p99_write', 0);
  assert.deepEqual(rules('E'), []);
  assert.equal(cluster.bdevs.get('E').faults, null, 'a delay of nothing costs nothing');
  await call('bdev_delay_delete', { name: 'E' });
  await cluster.close();
});
