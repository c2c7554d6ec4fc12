/** SPDK's error and delay disks by their RPCs: what they inject is what the fault rules do; here is that the RPCs say the right rules. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { faultRegistry } from '../../../bdev/faults/registry.ts';
import { faultText } from '../../../bdev/faults/rule.ts';
import { describeBdev } from '../../../bdev/rpc.ts';
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

test('bdev_error_inject_error: a setting for each type, as SPDK has it, on the disk EE_BASE and not on its base', async () => {
  const { cluster, call, rules } = await setUp('ErrBase');
  const disk = 'EE_ErrBase';
  assert.equal(await call('bdev_error_create', { base_name: 'ErrBase' }), true);
  const inject = (io_type: string, error_type: string, more = {}) =>
    call('bdev_error_inject_error', { name: disk, io_type, error_type, ...more });
  await inject('read', 'failure');
  await inject('flush', 'nomem', { num: 4, queue_depth: 8 });
  await inject('write', 'nvme_failure', { nvme_sct: 0, nvme_sc: 4, num: 4294967295 });
  assert.deepEqual(rules(disk), [
    'op=read,action=error,errno=EIO,count=1',
    'op=flush,action=nomem,queue_depth=8,count=4',
    'op=write,action=error,errno=EIO,count=4294967295',
  ]);
  await inject('read', 'pending', { num: 5 });
  await inject('flush', 'failure', { num: 0 });
  assert.deepEqual(
    rules(disk),
    ['op=read,action=stuck,count=5', 'op=write,action=error,errno=EIO,count=4294967295'],
    'another setting takes the place of the first, num 0 of any',
  );
  await inject('all', 'corrupt_data', { corrupt_offset: 3, corrupt_value: 7, num: 2 });
  assert.deepEqual(
    rules(disk),
    ['read', 'write'].map((op) => `op=${op},action=corrupt,corrupt_offset=3,corrupt_value=7,count=2`),
    'nothing of an unmap or a flush can be corrupt, and what was set for them is not any more',
  );
  await inject('all', 'failure', { num: 3 });
  assert.deepEqual(
    rules(disk),
    ['read', 'write', 'unmap', 'flush'].map((op) => `op=${op},action=error,errno=EIO,count=3`),
    'each has a count of its own, and no other type is struck',
  );
  assert.deepEqual(rules('ErrBase'), []);
  for (const [error_type, more, message] of [
    ['corrupt_data', {}, /corrupt_value 0 turns no bit over/],
    ['nvme_failure', {}, /nvme_sct 0 and nvme_sc 0: one must be above 0/],
    ['failure', { nvme_sc: 1 }, /nvme_sct 0 and nvme_sc 1 are for error_type nvme_failure, not failure/],
  ] as const) {
    await assert.rejects(inject('read', error_type, more), { code: 'EINVAL', message });
  }
  await cluster.until(faultRegistry(cluster.reactors[0]).add(disk, 'op=copy'));
  await inject('clear', 'failure');
  assert.deepEqual(rules(disk), ['op=copy,action=error,errno=EIO'], 'what fault_add has added stays');
  await assert.rejects(call('bdev_error_inject_error', { name: 'ErrBase', io_type: 'read', error_type: 'failure' }), {
    code: 'ENODEV',
  });
  await call('bdev_error_delete', { name: disk });
  assert.deepEqual(
    cluster.bdevs.list().map(({ name }) => name),
    ['ErrBase'],
  );
  await cluster.close();
});

test('bdev_error_inject_error: pending I/Os wait, clear does not let them go, bdev_error_resume_pending does and ends the setting', async () => {
  const { cluster, call, rules } = await setUp('PendingBase');
  const disk = 'EE_PendingBase';
  await call('bdev_error_create', { base_name: 'PendingBase' });
  const inject = (io_type: string, error_type: string, more = {}) =>
    call('bdev_error_inject_error', { name: disk, io_type, error_type, ...more });
  const desc = open(cluster, disk);
  const channel = channelOf(cluster, desc);
  const done: string[] = [];
  const buf = cluster.memory(512);
  const write = (name: string) =>
    assert.equal(
      channel.write(buf, 0, 0, 512, (ctx, status) => void done.push(`${ctx} ${status}`), name),
      0,
    );
  await inject('write', 'pending', { num: 9 });
  await inject('read', 'failure', { num: 9 });
  write('a');
  await inject('clear', 'failure');
  assert.deepEqual([stubChannel('PendingBase').outstanding.length, rules(disk)], [0, []]);
  await inject('write', 'pending', { num: 9 });
  await inject('read', 'failure', { num: 9 });
  write('b');
  assert.equal(await call('bdev_error_resume_pending', { name: disk }), true);
  assert.deepEqual(rules(disk), ['op=read,action=error,errno=EIO,count=9']);
  write('c');
  stubChannel('PendingBase').complete(3);
  cluster.turns();
  assert.deepEqual(done.sort(), ['a 0', 'b 0', 'c 0']);
  desc.close();
  await cluster.close();
});

test('an error disk in the configuration, with what was injected; and how it describes itself', async () => {
  const { cluster, call, rules } = await setUp('ConfBase');
  const disk = 'EE_ConfBase';
  await call('bdev_error_create', { base_name: 'ConfBase' });
  await call('bdev_error_inject_error', {
    name: disk,
    io_type: 'all',
    error_type: 'nvme_failure',
    nvme_sct: 2,
    nvme_sc: 0x81,
    num: 7,
  });
  assert.deepEqual(describeBdev(cluster.bdevs.get(disk)).driver_specific, { error_disk: { base_bdev: 'ConfBase' } });
  const before = rules(disk);
  const calls = faultRegistry(cluster.reactors[0]).configCalls();
  assert.equal(calls.length, 4);
  await call('bdev_error_inject_error', { name: disk, io_type: 'clear', error_type: 'failure' });
  assert.deepEqual(rules(disk), []);
  for (const { method, params } of calls) await call(method, params);
  assert.deepEqual(rules(disk), before);
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
  await cluster.until(faultRegistry(cluster.reactors[0]).add('E', 'op=read,action=delay,delay_us=3'));
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
  assert.deepEqual(rules('E'), ['op=read,action=delay,delay_us=3'], 'what was added stays');
  const [{ method, params: saved }, ...none] = faultRegistry(cluster.reactors[0]).configCalls();
  assert.deepEqual([method, saved.name, none], ['fault_add', 'E', []], 'latencies are the disk\u2019s own');
  await cluster.until(faultRegistry(cluster.reactors[0]).clear('E'));
  assert.equal(cluster.bdevs.get('E').faults, null, 'a delay of nothing costs nothing');
  await call('bdev_delay_delete', { name: 'E' });
  await cluster.close();
});
