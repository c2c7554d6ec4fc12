// The RPC server in an application's life: STARTUP, RUNTIME, waiting for framework_start_init, gone at the stop.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { RPC_RUNTIME, RPC_STARTUP, RpcClient } from '../rpc/index.ts';
import { App } from './app.ts';
import { rpcService } from './rpc-service.ts';

const base = { cores: [0], pin: false, signals: false } as const;

function scratch(t: { after(fn: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-rpc-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return join(dir, 'spdk.sock');
}

test('--wait-for-rpc: subsystems are initialised by framework_start_init; states are enforced', async (t) => {
  const path = scratch(t);
  const order: string[] = [];
  const subsystem = {
    name: 'probe',
    registerRpc(app: App) {
      for (const [name, states] of [
        ['probe_early', RPC_STARTUP],
        ['probe_late', RPC_RUNTIME],
      ] as const) {
        app.rpc.register({ name, states, params: [], summary: 'for the test', handler: () => order.push(name) });
      }
      void drive();
    },
    init: () => void order.push('init'),
  };
  async function drive(): Promise<void> {
    let client: RpcClient | null = null;
    while (client === null)
      client = await RpcClient.connect(path).catch(() => new Promise<null>((r) => setImmediate(() => r(null))));
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await assert.rejects(client.call('probe_late'), /may only be called after framework is initialized/);
    await client.call('probe_early');
    await client.call('framework_start_init');
    await client.call('framework_wait_init');
    await assert.rejects(client.call('probe_early'), /may only be called before framework is initialized/);
    await client.call('probe_late');
    order.push('done');
    client.close();
    theApp?.stop(0);
  }
  let theApp: App | null = null;
  const rc = await App.start(
    { ...base, subsystems: [subsystem], services: [rpcService({ addresses: [path], waitForRpc: true })] },
    (app) => {
      theApp = app;
      order.push('start');
    },
  );
  assert.equal(rc, 0);
  assert.deepEqual(order, ['probe_early', 'init', 'start', 'probe_late', 'done']);
  assert.equal(existsSync(path), false, 'the socket is gone');
});

test('a stop while the application waits for RPC ends it; --rpcs-allowed hides the others', async (t) => {
  const path = scratch(t);
  let initialised = false;
  const stopper = {
    name: 'stopper',
    start() {},
    beforeInit: (app: App) => void setImmediate(() => app.stop(5)),
  };
  const rc = await App.start(
    {
      ...base,
      subsystems: [
        {
          name: 'probe',
          init: () => {
            initialised = true;
          },
        },
      ],
      services: [stopper, rpcService({ addresses: [path], waitForRpc: true })],
    },
    () => assert.fail('the start function must not run'),
  );
  assert.deepEqual([rc, initialised], [5, false]);

  const rc2 = await App.start(
    { ...base, services: [rpcService({ addresses: [path], allowed: ['framework_wait_init'] })] },
    async (app) => {
      const client = await RpcClient.connect(path);
      await client.call('framework_wait_init');
      await assert.rejects(client.call('framework_start_init'), /Method not found/);
      client.close();
      app.stop(0);
    },
  );
  assert.equal(rc2, 0);
});
