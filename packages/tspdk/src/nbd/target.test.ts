// The whole target on real sockets and real reactors: what it does for polite clients, and that everything comes back at the end.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bdevRegistry } from '../bdev/index.ts';
import type { App } from '../event/index.ts';
import { createSplit } from '../module/bdev/split/split-bdev.ts';
import { RPC_RUNTIME } from '../rpc/index.ts';
import { request } from './client.sim.ts';
import { pollGroups } from './poll-group.ts';
import { SocketClient } from './socket-client.sim.ts';
import { makeMemoryDisk, testCores, withTarget } from './target-fixture.sim.ts';

function pattern(bytes: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + seed + (i >>> 9)) & 255);
}

/** Waits until the app knows no connection any more. */
async function untilAlone(app: App, target: { connections(): Promise<unknown[]> }): Promise<void> {
  while ((await target.connections()).length > 0) await new Promise((resolve) => setImmediate(resolve));
  app.reactor.kick();
}

test('clients on every reactor, over TCP and a unix socket, see one disk', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-'));
  const path = join(dir, 'nbd.sock');
  const rc = await withTarget(async ({ app, target, address }) => {
    await target.startServer({ path });
    const clients: SocketClient[] = [];
    for (let i = 0; i < 6; i++) clients.push(await SocketClient.enter(i % 2 === 0 ? address : { path }, 'disk', i < 3));
    const infos = await target.connections();
    assert.deepEqual(
      [...new Set(infos.map((info) => info.core))].sort(),
      process.env.TSPDK_NO_FFI === '1' ? [0] : [...testCores],
    );
    await Promise.all(clients.map((client, i) => client.write(i * 200_000, pattern(150_000, i))));
    for (const client of clients) {
      for (let i = 0; i < clients.length; i++) {
        assert.deepEqual(await client.read(i * 200_000, 150_000), pattern(150_000, i));
      }
    }
    const many = clients.flatMap((client) => Array.from({ length: 100 }, (_, i) => client.read(i * 4096, 4096)));
    await Promise.all(many);
    const busy = (await target.connections()).map((info) => ({
      server: info.server,
      reads: info.reads,
      core: info.core,
    }));
    assert.ok(busy.every((info) => info.reads === 106 && (info.server === 'tcp' || info.server === path)));
    await Promise.all(clients.map((client) => client.disconnect()));
    await untilAlone(app, target);
  });
  assert.equal(rc, 0, 'nothing leaked');
  assert.equal(existsSync(path), false, 'the socket file is gone');
  rmSync(dir, { recursive: true });
});

test('stop with clients connected and busy', async () => {
  const clients: SocketClient[] = [];
  const rc = await withTarget(async ({ address }) => {
    for (let i = 0; i < 4; i++) clients.push(await SocketClient.enter(address));
    for (const client of clients) for (let i = 0; i < 50; i++) void client.ask({ type: 0, offset: 0, length: 65536 });
    await SocketClient.open(address); // one that says nothing
  });
  assert.equal(rc, 0);
  await Promise.all(clients.map((client) => client.closed));
});

test('an export that is removed, a bdev that is removed, a server that is stopped: clients are closed, others live', async () => {
  const rc = await withTarget(async ({ app, target, address }) => {
    await makeMemoryDisk(app, 'Malloc1', 1048576);
    await target.addExport({ name: 'other', bdevName: 'Malloc1', readOnly: true });
    const onDisk = await SocketClient.enter(address, 'disk');
    const onOther = await SocketClient.enter(address, 'other');
    assert.equal((await onOther.ask({ type: 1, data: new Uint8Array(512) })).error, 1);
    await target.removeExport('other');
    await onOther.closed;
    assert.equal((await onDisk.read(0, 512)).length, 512);
    await assert.rejects(SocketClient.enter(address, 'other'), /error 6/);
    await assert.rejects(target.removeExport('other'), { code: 'ENOENT' });

    await target.addExport({ name: 'other', bdevName: 'Malloc1' });
    const again = await SocketClient.enter(address, 'other');
    await again.write(0, pattern(512, 1));
    await bdevRegistry(app.reactor).delete('Malloc1');
    await again.closed;
    assert.deepEqual(
      target.exports.map((exp) => exp.name),
      ['disk'],
    );
    assert.equal((await onDisk.read(0, 512)).length, 512);

    await target.stopServer('tcp');
    await onDisk.closed;
    await assert.rejects(SocketClient.open(address));
    assert.deepEqual(target.servers, []);
  });
  assert.equal(rc, 0);
});

test('a disk that grows: the new size counts from the next request on', async () => {
  const rc = await withTarget(async ({ app, target, address }) => {
    await bdevRegistry(app.reactor).create('null', { name: 'Null0', block_size: 512, num_blocks: 2048 });
    await target.addExport({ name: 'null', bdevName: 'Null0' });
    const client = await SocketClient.enter(address, 'null');
    assert.equal(client.sizeBytes, 1048576);
    assert.equal((await client.ask({ type: 0, offset: 1048576, length: 512 })).error, 22);
    assert.equal((await client.ask({ type: 1, offset: 1048576, data: new Uint8Array(512) })).error, 28);
    await bdevRegistry(app.reactor).resize('Null0', 4096);
    assert.equal((await client.ask({ type: 0, offset: 1048576, length: 512 })).error, 0);
    await client.disconnect();
  });
  assert.equal(rc, 0);
});

test('memory that is split at boundaries takes whole blocks, and so does a part of it; clients are told', async () => {
  const rc = await withTarget(async ({ app, target, address }) => {
    const registry = bdevRegistry(app.reactor);
    const params = { name: 'M', block_size: 512, num_blocks: 1024, optimal_io_boundary: 8 };
    const bdev = await registry.create('malloc', params);
    const [part] = await createSplit(app.reactor, { base_bdev: 'M', split_count: 2 });
    assert.deepEqual([bdev.takesBytes, registry.get(part).takesBytes], [false, false]);
    assert.equal(registry.get('Malloc0').takesBytes, true);
    await target.addExport({ name: 'part', bdevName: part });
    const client = await SocketClient.enter(address, 'part');
    assert.equal((await client.ask({ type: 0, offset: 3, length: 5 })).error, 22);
    assert.equal((await client.read(512, 512)).length, 512);
    await client.disconnect();
    await target.removeExport('part');
  });
  assert.equal(rc, 0);
});

test('clients that sit on all buffers cost themselves, not those who wait', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-'));
  const filename = join(dir, 'disk');
  writeFileSync(filename, '');
  truncateSync(filename, 16 * 1024 * 1024);
  const rc = await withTarget(
    async ({ app, target, address }) => {
      await bdevRegistry(app.reactor).create('aio', { name: 'File0', filename });
      await target.addExport({ name: 'file', bdevName: 'File0' });
      const { group } = app.reactor.local(pollGroups);
      assert.ok(group !== null);
      // One never reads its replies, the others never send the payload that they announced.
      const deaf = await SocketClient.enter(address, 'file');
      deaf.socket.pause();
      for (let i = 0; i < 200; i++) void deaf.ask({ type: 0, offset: 0, length: 131072 });
      const mute: SocketClient[] = [];
      for (let i = 0; i < 4; i++) {
        const client = await SocketClient.enter(address, 'file');
        client.say(request({ type: 1, length: 1048576 }).subarray(0, 28));
        mute.push(client);
      }
      const honest = await SocketClient.enter(address, 'file');
      await honest.read(0, 512); // now it is past the handshake on both sides
      let answered = false;
      const read = honest.read(0, 131072).then((data) => {
        answered = true;
        return data;
      });
      while (![...group.connections.values()].some((each) => each.hoards(true))) await turn();
      group.look(app.reactor.clock.read());
      assert.equal(answered, false, 'nobody is dropped for a moment of silence');
      const hostile = [...group.connections.values()].slice(0, 5);
      while (!answered) {
        const now = app.reactor.clock.read();
        for (const connection of hostile) connection.progressUs[0] = now - 60_000_000;
        group.look(now);
        await turn();
      }
      assert.equal((await read).length, 131072);
      deaf.destroy();
      for (const client of mute) client.destroy();
      await honest.disconnect();
    },
    { cores: [0], iobuf: { largeCount: 4, largeCache: 0 } },
  );
  assert.equal(rc, 0);
  rmSync(dir, { recursive: true });
});

test('a disk that is written in stripes: exported with memory for whole ones, which goes with the export', async () => {
  const rc = await withTarget(async ({ app, target, address }) => {
    const { segments } = app.reactor;
    const disks = ['A', 'B', 'C', 'D', 'E', 'F'];
    for (const name of disks) await makeMemoryDisk(app, name, 4 * 1024 * 1024);
    app.rpc.state = RPC_RUNTIME;
    const raid = { raid_level: 'raid5f', strip_size_kb: 64, base_bdevs: disks };
    await app.rpc.call('bdev_raid_create', { ...raid, name: 'R' });
    const before = segments.count;
    await target.addExport({ name: 'raid', bdevName: 'R' });
    assert.equal(segments.count, before + 1);
    const client = await SocketClient.enter(address, 'raid');
    const stripe = 5 * 64 * 1024;
    const data = new Uint8Array(3 * stripe).map((_, at) => at * 13);
    assert.equal((await client.ask({ type: 1, offset: stripe, data })).error, 0);
    assert.equal(Buffer.compare(await client.read(stripe, data.length), data), 0);
    assert.equal((await client.ask({ type: 1, offset: stripe, data: data.subarray(0, 65536) })).error, 22);
    const count = segments.count;
    // When the disk goes by itself its memory goes too, after the last who uses it.
    const gone = app.rpc.call('bdev_raid_delete', { name: 'R' });
    await client.closed;
    await gone;
    assert.deepEqual(
      target.exports.map(({ name }) => name),
      ['disk'],
    );
    while (segments.count > count - 1) await turn();
    await app.rpc.call('bdev_raid_create', { ...raid, name: 'Again' });
    await target.addExport({ name: 'raid', bdevName: 'Again' });
    await target.removeExport('raid');
    assert.equal(segments.count, count - 1);
  });
  assert.equal(rc, 0);
});

test('more large reads of disks that need buffers on the way than there are buffers: all are answered', async () => {
  const bytes = 64 * 1024;
  const body: Parameters<typeof withTarget>[0] = async ({ app, target, address }) => {
    const registry = bdevRegistry(app.reactor);
    const format = { block_size: 512, num_blocks: 4096, md_size: 8, md_interleave: true, dif_type: 1 };
    await registry.create('malloc', { name: 'Protected', ...format });
    for (const name of ['A', 'B']) await makeMemoryDisk(app, name, 4096 * 512);
    await registry.create('verify', { name: 'V', base_bdev_name: 'A', mirror_bdev_name: 'B' });
    for (const bdevName of ['Protected', 'V']) {
      await target.addExport({ name: bdevName, bdevName });
      const clients = [];
      for (let i = 0; i < 2; i++) clients.push(await SocketClient.enter(address, bdevName));
      const whole = pattern(16 * bytes, 3);
      await clients[0]!.write(0, whole);
      const reads = clients.flatMap((client) => Array.from({ length: 16 }, (_, i) => client.read(i * bytes, bytes)));
      for (const [i, data] of (await Promise.all(reads)).entries()) {
        assert.equal(Buffer.compare(data, whole.subarray((i % 16) * bytes, ((i % 16) + 1) * bytes)), 0);
      }
      await Promise.all(clients.map((client) => client.disconnect()));
    }
    await untilAlone(app, target);
  };
  assert.equal(await withTarget(body, { iobuf: { largeCount: 4 } }), 0, 'nothing leaked');
});

test('the RPC methods, and the configuration that would bring this state back', async () => {
  const rc = await withTarget(async ({ app, address }) => {
    app.rpc.state = RPC_RUNTIME;
    const call = (name: string, params?: unknown) => Promise.resolve(app.rpc.call(name, params));
    const dir = mkdtempSync(join(tmpdir(), 'tspdk-'));
    const path = join(dir, 's');
    assert.deepEqual(await call('nbd_server_start', { address: `unix:${path}`, name: 'u' }), {
      name: 'u',
      address: path,
      port: 0,
      uri: `nbd+unix:///?socket=${path}`,
    });
    await assert.rejects(call('nbd_server_start', { address: `unix:${path}`, name: 'u' }), { code: 'EEXIST' });
    await assert.rejects(call('nbd_export_add', { name: 'disk', bdev_name: 'Malloc0' }), { code: 'EEXIST' });
    await assert.rejects(call('nbd_export_add', { name: 'x', bdev_name: 'none' }), { code: 'ENODEV' });
    await call('nbd_export_add', { name: 'ro', bdev_name: 'Malloc0', read_only: true, description: 'careful' });
    assert.deepEqual(await call('nbd_export_list'), [
      { name: 'disk', bdev_name: 'Malloc0', read_only: false, description: '', rotational: false },
      { name: 'ro', bdev_name: 'Malloc0', read_only: true, description: 'careful', rotational: false },
    ]);
    const config = await app.subsystems.order.find((each) => each.name === 'nbd')?.writeConfig?.(app);
    assert.deepEqual(
      config?.map((each) => each.method),
      ['nbd_export_add', 'nbd_export_add', 'nbd_server_start', 'nbd_server_start'],
    );
    assert.deepEqual(config?.[3]?.params, { name: 'u', address: `unix:${path}` });
    const client = await SocketClient.enter(address, 'ro');
    await client.read(0, 512);
    const [info] = (await call('nbd_get_connections')) as Record<string, unknown>[];
    assert.equal(info.state, 'transmission');
    assert.equal(info.export, 'ro');
    assert.equal(info.server, 'tcp');
    await call('nbd_export_remove', { name: 'ro' });
    await client.closed;
    await call('nbd_server_stop');
    assert.deepEqual(await call('nbd_get_servers'), []);
    rmSync(dir, { recursive: true });
  });
  assert.equal(rc, 0);
});

test('targets come and go in one process', async () => {
  for (let i = 0; i < 5; i++) {
    const rc = await withTarget(async ({ address }) => {
      const client = await SocketClient.enter(address);
      await client.write(0, pattern(4096, i));
      await client.disconnect();
    });
    assert.equal(rc, 0);
  }
});

const { TSPDK_NO_URING, TSPDK_NO_FFI, NODE_TEST_CONTEXT: _, ...env } = process.env;
for (const [without, variable] of [
  ['io_uring', 'TSPDK_NO_URING'],
  ['FFI', 'TSPDK_NO_FFI'],
]) {
  test(`all of this without ${without}`, { skip: TSPDK_NO_URING === '1' || TSPDK_NO_FFI === '1' }, () => {
    const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url)], {
      env: { ...env, [variable]: '1' },
      encoding: 'utf8',
    });
    assert.equal(child.status, 0, `${child.stdout}\n${child.stderr}`);
  });
}
