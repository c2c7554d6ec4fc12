/** The RPC methods of the block layer and of the disks without files: answers and errors as SPDK gives them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registerMallocRpc } from '../module/bdev/malloc/rpc.ts';
import '../module/bdev/malloc/malloc-bdev.ts';
import { registerNullRpc } from '../module/bdev/null/rpc.ts';
import '../module/bdev/null/null-bdev.ts';
import { RPC_RUNTIME, RPC_STARTUP, RpcRegistry } from '../rpc/index.ts';
import { startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { registerBdevRpc } from './rpc.ts';

async function setUp() {
  const cluster = await startCluster({ reactors: 2 });
  const rpc = new RpcRegistry();
  const deps = { registry: () => cluster.bdevs, nowUs: () => cluster.clock.nowUs };
  registerBdevRpc(rpc, deps);
  registerMallocRpc(rpc, deps);
  registerNullRpc(rpc, deps);
  rpc.state = RPC_RUNTIME;
  const call = async (method: string, params?: object): Promise<unknown> =>
    cluster.until((async () => rpc.call(method, params))());
  return { cluster, rpc, call };
}

test('disks are made, listed, resized, counted and removed by name, with the errors SPDK answers', async () => {
  const { cluster, call } = await setUp();
  assert.equal(await call('bdev_malloc_create', { block_size: 512, num_blocks: 64 }), 'Malloc0');
  assert.equal(await call('bdev_null_create', { name: 'N', block_size: 4096, num_blocks: 10 }), 'N');
  const all = (await call('bdev_get_bdevs')) as { name: string; num_blocks: number; uuid: string }[];
  assert.deepEqual(
    all.map((bdev) => [bdev.name, bdev.num_blocks]),
    [
      ['Malloc0', 64],
      ['N', 10],
    ],
  );
  assert.deepEqual(await call('bdev_get_bdevs', { name: all[1].uuid }), [all[1]]);
  await assert.rejects(call('bdev_get_bdevs', { name: 'none' }), { code: 'ENODEV' });
  await assert.rejects(call('bdev_null_create', { name: 'N', block_size: 512, num_blocks: 1 }), { code: 'EEXIST' });
  await assert.rejects(call('bdev_malloc_create', { block_size: 512, num_blocks: 1, dif_pi_format: 1 }), {
    code: 'ENOTSUP',
  });
  assert.equal(await call('bdev_null_resize', { name: 'N', new_size: 1 }), true);
  assert.equal(cluster.bdevs.get('N').blocks, 256);
  await assert.rejects(call('bdev_null_resize', { name: 'Malloc0', new_size: 1 }), { code: 'ENODEV' });
  await assert.rejects(call('bdev_null_delete', { name: 'Malloc0' }), { code: 'ENODEV' });
  assert.equal(await call('bdev_null_delete', { name: 'N' }), true);
  assert.equal(((await call('bdev_get_bdevs')) as unknown[]).length, 1);
  await cluster.close();
});

test('bdev_get_iostat sums over reactors, tells channels apart, and resets', async () => {
  const { cluster, call } = await setUp();
  await call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 64 });
  const buf = cluster.memory(512);
  const descs = [0, 1].map((core) => cluster.on(core, () => BdevDesc.open('M', { write: true, onEvent: () => {} })));
  for (const core of [0, 1]) {
    const channel = cluster.on(core, () => descs[core].getIoChannel());
    for (let i = 0; i <= core; i++) channel.read(buf, 0, 0, 512, () => {}, null);
  }
  cluster.turns();
  type Row = { name: string; num_read_ops: number };
  const sum = (await call('bdev_get_iostat', { names: ['M'] })) as { tick_rate: number; bdevs: Row[] };
  assert.deepEqual([sum.tick_rate, sum.bdevs[0].name, sum.bdevs[0].num_read_ops], [1_000_000, 'M', 3]);
  const each = (await call('bdev_get_iostat', { names: ['M'], per_channel: true, reset_mode: 'all' })) as {
    name: string;
    channels: { thread_id: number; num_read_ops: number }[];
  };
  assert.deepEqual(
    each.channels.map((row) => [row.thread_id, row.num_read_ops]),
    [
      [cluster.threads[0].id, 1],
      [cluster.threads[1].id, 2],
    ],
  );
  assert.equal(((await call('bdev_get_iostat')) as { bdevs: Row[] }).bdevs[0].num_read_ops, 0);
  await assert.rejects(call('bdev_get_iostat', { per_channel: true }), { code: 'EINVAL' });
  assert.equal(await call('bdev_reset_iostat', { name: 'M' }), true);
  await assert.rejects(call('bdev_reset_iostat', { name: 'none' }), { code: 'ENODEV' });
  for (const core of [0, 1]) cluster.on(core, () => descs[core].close());
  await cluster.close();
});

test('options are for the start; what is saved makes the same disks again', async () => {
  const { cluster, rpc, call } = await setUp();
  await assert.rejects(call('bdev_set_options', { bdev_io_pool_size: 100 }), { code: -1 });
  rpc.state = RPC_STARTUP;
  assert.equal(await call('bdev_set_options', { bdev_io_pool_size: 1000 }), true);
  rpc.state = RPC_RUNTIME;
  await call('bdev_malloc_create', { name: 'M', block_size: 4096, num_blocks: 64, optimal_io_boundary: 8 });
  await call('bdev_null_create', { name: 'N', block_size: 512, num_blocks: 2048, optimal_write_size: 8 });
  await call('bdev_null_resize', { name: 'N', new_size: 2 });
  const before = await call('bdev_get_bdevs');
  const saved = cluster.bdevs.configCalls();
  await call('bdev_malloc_delete', { name: 'M' });
  await call('bdev_null_delete', { name: 'N' });
  for (const { method, params } of saved) {
    rpc.state = method === 'bdev_set_options' ? RPC_STARTUP : RPC_RUNTIME;
    await call(method, method === 'bdev_wait_for_examine' ? undefined : params);
  }
  assert.deepEqual(await call('bdev_get_bdevs'), before);
  await assert.rejects(call('bdev_examine', { name: 'M' }), { code: 'EINVAL' });
  rpc.state = RPC_STARTUP;
  await call('bdev_set_options', { bdev_auto_examine: false });
  rpc.state = RPC_RUNTIME;
  assert.equal(await call('bdev_examine', { name: 'not there' }), true);
  await assert.rejects(call('bdev_examine', { name: 'not there' }), { code: 'EEXIST' });
  await cluster.close();
});
