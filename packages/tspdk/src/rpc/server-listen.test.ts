// Where the server listens: its socket file and lock, stale ones, TCP, several servers in one program, and pausing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { RpcClient } from './client.ts';
import { RPC_STARTUP } from './registry.ts';
import { RpcServer } from './server.ts';
import { fixture, ok, request } from './server-fixture.sim.ts';

test('spdk_rpc_listen_close: mode 0600, lock file, both gone afterwards', async (t) => {
  const f = await fixture(t);
  const mask = process.umask();
  const server = await f.listen();
  assert.equal(process.umask(), mask);
  const path = server.address;
  assert.ok(lstatSync(path).isSocket());
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(`${path}.lock`).mode & 0o777, 0o600);
  assert.match(readFileSync(`${path}.lock`, 'latin1'), new RegExp(`^${process.pid} `));
  const w = await f.open(server);
  await server.close();
  await server.close();
  await w.ended;
  assert.equal(existsSync(path), false);
  assert.equal(existsSync(`${path}.lock`), false);
  const again = await f.listen();
  assert.equal(again.address, path);
});

test('a second server on the same path says who has it', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  await assert.rejects(f.listen(), (error) => {
    assert.ok(error instanceof SpdkError);
    assert.equal(error.code, 'EADDRINUSE');
    assert.match(error.message, new RegExp(`rpc\\.sock is in use: process ${process.pid} serves it`));
    return true;
  });
  const w = await f.open(server);
  w.send(request(1, 'ping'));
  assert.deepEqual(await w.replies(1), [ok(1, 'pong')]);
});

test('a stale lock and socket are taken over: owner dead, number used again, nonsense', async (t) => {
  const f = await fixture(t);
  const path = join(f.dir, 'rpc.sock');
  const stale = ['999999999 123\n', `${process.pid} 1\n`, '', 'what is this'];
  for (const content of process.platform === 'linux' ? stale : stale.filter((text) => !text.endsWith(' 1\n'))) {
    writeFileSync(`${path}.lock`, content);
    // A socket file without a listener, as kill -9 leaves it.
    const abandoned = createServer();
    abandoned.listen(join(f.dir, 'abandoned.sock'));
    await once(abandoned, 'listening');
    const { renameSync } = await import('node:fs');
    renameSync(join(f.dir, 'abandoned.sock'), path);
    await new Promise((resolve) => abandoned.close(resolve));
    assert.ok(existsSync(path));
    const server = await f.listen();
    const w = await f.open(server);
    w.send(request(1, 'ping'));
    assert.deepEqual(await w.replies(1), [ok(1, 'pong')], content);
    await server.close();
  }
  const { readdirSync } = await import('node:fs');
  assert.deepEqual(readdirSync(f.dir), []);
});

test('a stale lock is not enough when somebody answers', async (t) => {
  const f = await fixture(t);
  const path = join(f.dir, 'rpc.sock');
  const foreign = createServer((socket) => socket.on('error', () => {}));
  foreign.listen(path);
  await once(foreign, 'listening');
  t.after(() => foreign.close());
  const inUse = (error: unknown) => error instanceof SpdkError && error.code === 'EADDRINUSE';
  await assert.rejects(f.listen(), inUse);
  assert.equal(existsSync(`${path}.lock`), false);
  writeFileSync(`${path}.lock`, 'its own lock');
  await assert.rejects(f.listen(), inUse);
  assert.equal(readFileSync(`${path}.lock`, 'utf8'), 'its own lock');
});

test('a file that is no socket is left alone', async (t) => {
  const f = await fixture(t);
  const path = join(f.dir, 'rpc.sock');
  writeFileSync(path, 'precious');
  await assert.rejects(f.listen(), (error) => error instanceof SpdkError && /not a socket/.test(error.message));
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  assert.equal(existsSync(`${path}.lock`), false);
});

test('addresses that cannot be served', async (t) => {
  const f = await fixture(t);
  const rejects = (address: string, code: string) =>
    assert.rejects(RpcServer.listen(f.registry, { address }), (error) => {
      assert.ok(error instanceof SpdkError && error.code === code, `${address}: ${error}`);
      return true;
    });
  await rejects('0.0.0.0:0', 'EPERM');
  await rejects('192.0.2.1:5260', 'EPERM');
  await rejects(`/${'x'.repeat(107)}`, 'ENAMETOOLONG');
  await rejects('', 'EINVAL');
  await rejects('127.0.0.1:99999', 'EINVAL');
  await rejects(join(f.dir, 'no/such/dir/rpc.sock'), 'ENOENT');
  if (process.getuid?.() !== 0) {
    chmodSync(f.dir, 0o500);
    await rejects(join(f.dir, 'x.sock'), 'EACCES');
    chmodSync(f.dir, 0o700);
  }
});

test('TCP on loopback', async (t) => {
  const f = await fixture(t);
  const server = await RpcServer.listen(f.registry, { address: '127.0.0.1:0' });
  t.after(() => server.close());
  assert.match(server.address, /^127\.0\.0\.1:[1-9]\d*$/);
  const w = await f.open(server);
  w.send(request(1, 'ping'));
  assert.deepEqual(await w.replies(1), [ok(1, 'pong')]);
  const client = await RpcClient.connect(server.address);
  assert.equal(await client.call('ping'), 'pong');
  await client.close();
});

test('run_multiple_servers, stop singles, stop all', async (t) => {
  const f = await fixture(t);
  const servers = await Promise.all([f.listen('a.sock'), f.listen('b.sock'), f.listen('c.sock')]);
  const wires = await Promise.all(servers.map((server) => f.open(server)));
  for (const w of wires) {
    w.send(request(1, 'ping'));
    assert.deepEqual(await w.replies(1), [ok(1, 'pong')]);
  }
  await servers[1].close();
  await wires[1].ended;
  assert.equal(existsSync(servers[1].address), false);
  for (const w of [wires[0], wires[2]]) {
    w.send(request(2, 'ping'));
    assert.deepEqual(await w.replies(1), [ok(2, 'pong')]);
  }
  await Promise.all(servers.map((server) => server.close()));
  await Promise.all(wires.map((w) => w.ended));
});

test('pause_resume_servers: nothing is answered meanwhile, everything afterwards', async (t) => {
  const f = await fixture(t);
  const paused = await f.listen('a.sock');
  const running = await f.listen('b.sock');
  const old = await f.open(paused);
  old.send(request(1, 'ping') + request('under way', 'wait', { key: 1 }));
  await old.replies(1);
  paused.pause();
  assert.equal(paused.paused, true);
  let answered = 0;
  f.registry.register({ name: 'touch', states: RPC_STARTUP, params: [], summary: '', handler: () => ++answered });
  const young = await f.open(paused);
  old.send(request(2, 'touch'));
  young.send(request(3, 'touch'));
  // A call that was under way still ends.
  f.release(1);
  assert.equal((await old.replies(1))[0].id, 'under way');
  const other = await f.open(running);
  for (let round = 0; round < 20; round++) {
    other.send(request(round, 'ping'));
    await other.replies(1);
  }
  assert.equal(answered, 0);
  paused.resume();
  assert.equal((await old.replies(1))[0].id, 2);
  assert.equal((await young.replies(1))[0].id, 3);
  assert.equal(answered, 2);
});

test('remove_paused_servers: a paused server closes like any other', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  const w = await f.open(server);
  server.pause();
  w.send(request(1, 'ping'));
  await server.close();
  await w.ended;
  assert.equal(existsSync(server.address), false);
});

test('numbers past 2^53 in results keep their digits', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  const client = await RpcClient.connect(server.address);
  assert.equal(await client.call('big'), 18446744073709551615n);
  await client.close();
});
