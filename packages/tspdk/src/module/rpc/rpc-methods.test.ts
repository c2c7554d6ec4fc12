// The framework's RPC methods with SPDK's names, parameters and answers, for SPDK's own clients read them.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SpdkError } from '../../env/errors.ts';
import { Log } from '../../log/index.ts';
import { Notify } from '../../notify/index.ts';
import {
  type ConfigCall,
  loadConfig,
  RPC_RUNTIME,
  RPC_STARTUP,
  RpcClient,
  RpcError,
  RpcRegistry,
  RpcServer,
  saveConfig,
} from '../../rpc/index.ts';
import { registerLogRpc } from './log.ts';
import { registerNotifyRpc } from './notify.ts';
import { registerRpcRpc } from './rpc.ts';
import { registerSubsystemRpc } from './subsystem.ts';

// SPDK's rpc unit tests test_rpc_get_methods and test_rpc_spdk_get_version.

const quiet = () => new Log({ print: () => {} });
const invalid = (error: unknown) => error instanceof RpcError && error.code === -32602;

test('rpc_get_methods: all, in this state, with old names', () => {
  const registry = new RpcRegistry({ log: quiet().register('rpc') });
  registerRpcRpc(registry, { version: '1.2.3' });
  registry.register({ name: 'late', states: RPC_RUNTIME, params: [], summary: '', handler: () => 1 });
  assert.deepEqual(registry.call('rpc_get_methods'), ['rpc_get_methods', 'spdk_get_version', 'rpc_get_schema', 'late']);
  assert.deepEqual(registry.call('rpc_get_methods', { current: true }), [
    'rpc_get_methods',
    'spdk_get_version',
    'rpc_get_schema',
  ]);
  assert.deepEqual(registry.call('get_rpc_methods', { current: true, include_aliases: true }), [
    'rpc_get_methods',
    'get_rpc_methods',
    'spdk_get_version',
    'get_spdk_version',
    'rpc_get_schema',
  ]);
  registry.state = RPC_RUNTIME;
  assert.equal((registry.call('rpc_get_methods', { current: true }) as string[]).length, 4);
  assert.throws(() => registry.call('rpc_get_methods', { current: 1 }), invalid);
  assert.throws(() => registry.call('rpc_get_methods', { other: true }), invalid);
});

test('spdk_get_version: the shape of SPDK’s answer', () => {
  const registry = new RpcRegistry({ log: quiet().register('rpc') });
  registerRpcRpc(registry, { version: '1.2.3-pre' });
  assert.deepEqual(registry.call('spdk_get_version'), {
    version: 'tspdk v1.2.3-pre',
    fields: { major: 1, minor: 2, patch: 3, suffix: '-pre' },
  });
  assert.throws(() => registry.call('spdk_get_version', { a: 1 }), invalid);
  const other = new RpcRegistry({ log: quiet().register('rpc') });
  registerRpcRpc(other, { version: '0.1.0', commit: 'abc' });
  assert.deepEqual(other.call('spdk_get_version'), {
    version: 'tspdk v0.1.0 git sha1 abc',
    fields: { major: 0, minor: 1, patch: 0, suffix: '', commit: 'abc' },
  });
});

test('rpc_get_schema: what the methods take, as data', () => {
  const registry = new RpcRegistry({ log: quiet().register('rpc') });
  registerRpcRpc(registry, { version: '1.2.3' });
  const all = registry.call('rpc_get_schema') as { name: string; params: { name: string }[] }[];
  assert.deepEqual(
    all.map((method) => [method.name, method.params.map((param) => param.name)]),
    [
      ['rpc_get_methods', ['current', 'include_aliases']],
      ['spdk_get_version', []],
      ['rpc_get_schema', ['method']],
    ],
  );
  assert.deepEqual(registry.call('rpc_get_schema', { method: 'get_spdk_version' }), [all[1]]);
  assert.throws(() => registry.call('rpc_get_schema', { method: 'x' }), /Method not found/);
});

test('log methods: SPDK’s names, parameters and answers', () => {
  const log = quiet();
  const registry = new RpcRegistry({ log: log.register('rpc') });
  registerLogRpc(registry, { log });
  log.register('nvme');
  for (const state of [RPC_STARTUP, RPC_RUNTIME]) {
    registry.state = state;
    assert.equal(registry.call('log_set_flag', { flag: 'nvme' }), undefined);
    assert.deepEqual(registry.call('log_get_flags'), { nvme: true, rpc: false });
    registry.call('log_clear_flag', { flag: 'all' });
    assert.deepEqual(registry.call('log_get_flags'), { nvme: false, rpc: false });
    registry.call('log_set_level', { level: 'debug' });
    assert.equal(registry.call('log_get_level'), 'DEBUG');
    registry.call('log_set_print_level', { level: 'ERROR' });
    assert.equal(registry.call('log_get_print_level'), 'ERROR');
    registry.call('log_enable_timestamps', { enabled: false });
    assert.equal(log.timestamps, false);
  }
  assert.throws(() => registry.call('log_set_flag', { flag: 'nothing' }), /does not exist/);
  assert.throws(() => registry.call('log_set_level', { level: 'LOUD' }), invalid);
  assert.throws(() => registry.call('log_set_flag'), invalid);
});

test('notify methods', () => {
  const notify = new Notify();
  const registry = new RpcRegistry({ log: quiet().register('rpc') });
  registry.state = RPC_RUNTIME;
  registerNotifyRpc(registry, { notify });
  notify.registerType('bdev_register');
  for (const name of ['a', 'b', 'c']) notify.send('bdev_register', name);
  assert.deepEqual(registry.call('notify_get_types'), ['bdev_register']);
  assert.deepEqual(registry.call('notify_get_notifications', { id: 1, max: 1 }), [
    { type: 'bdev_register', ctx: 'b', id: 1 },
  ]);
  assert.equal((registry.call('notify_get_notifications') as unknown[]).length, 3);
  assert.equal((registry.call('get_notifications', { max: 18446744073709551615n }) as unknown[]).length, 3);
  assert.throws(() => registry.call('notify_get_notifications', { id: -1 }), invalid);
});

test('framework_get_subsystems, framework_get_config', async () => {
  const registry = new RpcRegistry({ log: quiet().register('rpc') });
  registry.state = RPC_RUNTIME;
  const call = { method: 'bdev_malloc_create', params: { name: 'Malloc0' } };
  registerSubsystemRpc(registry, {
    subsystems: () => [
      { name: 'iobuf', dependsOn: [] },
      { name: 'bdev', dependsOn: ['iobuf'], writeConfigJson: async () => [call] },
    ],
  });
  assert.deepEqual(registry.call('framework_get_subsystems'), [
    { subsystem: 'iobuf', depends_on: [] },
    { subsystem: 'bdev', depends_on: ['iobuf'] },
  ]);
  assert.deepEqual(await registry.call('framework_get_config', { name: 'bdev' }), [call]);
  assert.deepEqual(await registry.call('framework_get_config', { name: 'iobuf', with_batches: true }), []);
  await assert.rejects(registry.call('framework_get_config', { name: 'x' }) as Promise<unknown>, /'x' does not exist/);
});

test('save and load through a running server', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-rpc-'));
  const calls: string[] = [];
  const registry = new RpcRegistry({ log: quiet().register('rpc') });
  const params = [{ name: 'name', type: 'string' }] as const;
  for (const [name, states] of [
    ['iobuf_set_options', RPC_STARTUP],
    ['bdev_malloc_create', RPC_RUNTIME],
  ] as const) {
    registry.register({
      name,
      states,
      params,
      summary: '',
      handler: (given) => calls.push(`${name} ${given.name ?? '-'}`),
    });
  }
  registerRpcRpc(registry, { version: '0.0.0' });
  const create: ConfigCall = { method: 'bdev_malloc_create', params: { name: 'a' } };
  const early: ConfigCall = { method: 'iobuf_set_options' };
  registerSubsystemRpc(registry, {
    subsystems: () => [
      { name: 'iobuf', dependsOn: [], writeConfigJson: () => [early] },
      { name: 'other', dependsOn: [] },
      { name: 'bdev', dependsOn: ['iobuf'], writeConfigJson: () => [create] },
    ],
  });
  registry.register({
    name: 'framework_start_init',
    states: RPC_STARTUP,
    params: [],
    summary: '',
    handler: () => {
      registry.state = RPC_RUNTIME;
    },
  });
  const server = await RpcServer.listen(registry, { address: join(dir, 's') });
  const client = await RpcClient.connect(server.address);
  t.after(async () => {
    await client.close();
    await server.close();
    rmSync(dir, { recursive: true });
  });
  const [iobuf, other, bdev] = [
    { subsystem: 'iobuf', config: [early] },
    { subsystem: 'other', config: [] },
    { subsystem: 'bdev', config: [create] },
  ];
  const whole = { subsystems: [iobuf, other, bdev] };
  assert.deepEqual(await loadConfig(client, whole), []);
  assert.deepEqual(calls, ['iobuf_set_options -', 'bdev_malloc_create a']);
  assert.equal(registry.state, RPC_RUNTIME);
  assert.deepEqual(await saveConfig(client), whole);
  assert.deepEqual(await saveConfig(client, ['bdev']), { subsystems: [iobuf, bdev] });
  const spdkError = (code: string, message: RegExp) => (error: unknown) =>
    error instanceof SpdkError && error.code === code && message.test(error.message);
  await assert.rejects(saveConfig(client, ['nothing']), spdkError('ENOENT', /nothing/));
  // The framework is running: what had to come before is told.
  assert.deepEqual(await loadConfig(client, whole), [early]);
  await assert.rejects(
    loadConfig(client, { subsystems: [{ subsystem: 'x', config: [{ method: 'nothing' }] }] }),
    spdkError('ENOENT', /nothing/),
  );
});
